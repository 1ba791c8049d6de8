// The process ends while detached threads are inside the library: with the status of main, time after time.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// Never destroyed: threads use them until the process is gone.
const Model* model;
const std::string* config;

void run_for_ever() {
  Texts texts;
  for (const auto& text : random_texts(20, 1)) texts.add(text);
  std::vector<float> rows(20 * model->info().hidden_size);
  for (;;) {
    model->forward(texts.batch());
    model->embed(texts.batch(), Pooling::mean, true, rows.data());
  }
}

void load_for_ever() {
  for (;;) {
    tiny_model(1, DType::f32, *config);
    devices();
  }
}

void sleep_for(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

void leave_threads(int milliseconds) {
  config = new std::string(kTinyConfig);
  model = new Model(tiny_model());
  std::thread(run_for_ever).detach();
  std::thread(run_for_ever).detach();
  std::thread(load_for_ever).detach();
  sleep_for(milliseconds);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2) {
    // Handlers run in reverse order: after this one come no static objects that the library makes from here on.
    std::atexit([] { sleep_for(50); });
    leave_threads(std::stoi(arguments[1]));
    return 7;
  }
  for (int i = 0; i < 20; ++i) {
    const std::string milliseconds = std::to_string(i);
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      execl("/proc/self/exe", arguments[0], milliseconds.c_str(), nullptr);
      _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) continue;
    std::fprintf(stderr, "run %d ended with status %d\n", i, status);
    return 1;
  }
}
