// A forked child may use what it inherited, whatever the other threads of its parent were doing.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "forked.h"
#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// One short text, so that locks are held as often as can be.
std::vector<float> embed(const Model& model) {
  Texts texts;
  texts.add({5, 6});
  std::vector<float> rows(model.info().hidden_size);
  model.embed(texts.batch(), Pooling::mean, true, rows.data());
  return rows;
}

// Threads that call body again and again while this lives.
class Busy {
 public:
  template <typename Body>
  Busy(int threads, const Body& body) {
    for (int i = 0; i < threads; ++i)
      threads_.emplace_back([this, body] {
        while (!stop_) body();
      });
  }
  ~Busy() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("fork: while threads run the model" * doctest::skip(kSanitized)) {
  for (const int threads : {1, 2}) {
    CAPTURE(threads);
    const Model model = tiny_model(threads);
    const std::vector<float> expected = embed(model);
    const Busy busy(4, [&] { embed(model); });
    for (int i = 0; i < 150; ++i) REQUIRE(forked([&] { return embed(model) == expected; }) == 0);
  }
}

TEST_CASE("fork: while threads load models, and the child loads one" * doctest::skip(kSanitized)) {
  const std::vector<float> expected = embed(tiny_model());
  const Busy busy(2, [] { tiny_model(); });
  for (int i = 0; i < 50; ++i) REQUIRE(forked([&] { return embed(tiny_model()) == expected; }) == 0);
}

TEST_CASE("fork: several threads of the child call first" * doctest::skip(kSanitized)) {
  const Model model = tiny_model(3);
  const std::vector<float> expected = embed(model);
  for (int i = 0; i < 20; ++i)
    REQUIRE(forked([&] {
              std::atomic<int> waiting{8}, right{0};
              std::vector<std::thread> callers;
              for (int caller = 0; caller < 8; ++caller)
                callers.emplace_back([&] {
                  waiting.fetch_sub(1);
                  while (waiting > 0) std::this_thread::yield();
                  if (embed(model) == expected) right.fetch_add(1);
                });
              for (std::thread& caller : callers) caller.join();
              return right == 8;
            }) == 0);
}

TEST_CASE("fork: a grandchild, of a child that used the model and of one that did not" * doctest::skip(kSanitized)) {
  const Model model = tiny_model();
  const std::vector<float> expected = embed(model);
  for (const bool uses : {false, true}) {
    const auto grandchild = [&] { return embed(model) == expected; };
    CHECK(forked([&] { return (!uses || grandchild()) && forked(grandchild) == 0 && grandchild(); }) == 0);
  }
  CHECK(embed(model) == expected);
}

TEST_CASE("fork: in the interrupt check of a forward, both processes go on" * doctest::skip(kSanitized)) {
  const Model model = tiny_model();
  Texts texts;
  for (const auto& text : random_texts(200, 6)) texts.add(text);  // several passes
  const auto run = [&](const ForwardOptions& options) { return model.forward(texts.batch(), options).head; };
  const std::vector<float> expected = run({});
  int status = 0;
  pid_t child = -1;
  ForwardOptions options;
  options.interrupted = [&] {
    if (child < 0 && (child = fork()) == 0) alarm(20);
    return false;
  };
  const std::vector<float> found = run(options);
  if (child == 0) _exit(found == expected && run({}) == expected ? 0 : 1);
  CHECK(found == expected);
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("fork: a model is dropped in the child" * doctest::skip(kSanitized)) {
  auto model = std::make_unique<Model>(tiny_model(3));
  const std::vector<float> expected = embed(*model);
  for (const bool used : {false, true})
    CHECK(forked([&] {
            const bool right = !used || embed(*model) == expected;
            model.reset();
            return right;
          }) == 0);
  CHECK(embed(*model) == expected);
}
