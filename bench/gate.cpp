#include "gate.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <limits>
#include <thread>

#include "clock.h"
#include "loops.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace filbert::bench {
namespace {

constexpr int kParts = 3;  // the best counts: being interrupted once is not being slow
constexpr double kPartSeconds = 15e-6;

struct Meter {
  std::atomic<int> asked{0}, answered{0};
  double rate = 0;
};

Loop loop;
long rounds;
std::deque<Meter>* meters;  // never destroyed: their threads may still run while the process ends

double time(long count) {
  const double begin = seconds();
  loop.run(count);
  return seconds() - begin;
}

void serve(Meter& meter) {
  for (int seen = 0;;) {
    meter.asked.wait(seen);
    seen = meter.asked;
    time(2 * rounds);  // a core that slept starts slowly
    double best = std::numeric_limits<double>::infinity();
    for (int part = 0; part < kParts; ++part) best = std::min(best, time(rounds));
    meter.rate = loop.work * static_cast<double>(rounds) / best / 1e9;
    meter.answered = seen;
    meter.answered.notify_one();
  }
}

void start(Meter& meter, int processor) {
  std::thread thread(serve, std::ref(meter));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(processor), &one);
  pthread_setaffinity_np(thread.native_handle(), sizeof one, &one);
  thread.detach();
}

}  // namespace
}  // namespace filbert::bench

int filbert_gate_open(const char* isa, int threads) {
  using namespace filbert::bench;
  const Loops loops = loops_of(isa);
  loop = std::string(isa) == "amx" ? loops.bf16 : loops.tile;
  if (!loop.run || meters) return 0;
#if defined(__x86_64__)
  if (std::string(isa) == "amx") syscall(SYS_arch_prctl, 0x1023, 18);  // ARCH_REQ_XCOMP_PERM, for tiles
#endif
  constexpr long kTrial = 1000;
  time(10 * kTrial);
  rounds = std::max(1L, static_cast<long>(kTrial * kPartSeconds / std::min(time(kTrial), time(kTrial))));
  meters = new std::deque<Meter>;
  cpu_set_t usable;
  sched_getaffinity(0, sizeof usable, &usable);
  for (int processor = 0; processor < CPU_SETSIZE && static_cast<int>(meters->size()) < threads; ++processor)
    if (CPU_ISSET(static_cast<unsigned>(processor), &usable)) start(meters->emplace_back(), processor);
  return 1;
}

double filbert_gate_rate() {
  using namespace filbert::bench;
  double slowest = std::numeric_limits<double>::infinity();
  for (Meter& meter : *meters) {
    ++meter.asked;
    meter.asked.notify_one();
  }
  for (Meter& meter : *meters) {
    for (int answered; (answered = meter.answered) != meter.asked;) meter.answered.wait(answered);
    slowest = std::min(slowest, meter.rate);
  }
  return slowest;
}
