#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/threads.h"
#include "forked.h"

using filbert::cpu::ThreadPool;
using filbert::testing::forked;

TEST_CASE("threads: every task runs exactly once, with aligned scratch") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::size_t tasks : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> runs(tasks);
      std::atomic<bool> aligned{true};
      pool.run(tasks, 100, [&](std::size_t task, float* scratch) {
        runs[task].fetch_add(1);
        if (reinterpret_cast<std::uintptr_t>(scratch) % 64 != 0) aligned = false;
        scratch[99] = 1.0f;
      });
      CHECK(aligned);
      for (const auto& count : runs) CHECK(count == 1);
    }
  }
}

TEST_CASE("threads: scratch is not shared between tasks that run at once") {
  ThreadPool pool(4);
  std::atomic<bool> clean{true};
  pool.run(400, 1, [&](std::size_t task, float* scratch) {
    scratch[0] = static_cast<float>(task);
    std::this_thread::yield();
    if (scratch[0] != static_cast<float>(task)) clean = false;
  });
  CHECK(clean);
}

TEST_CASE("threads: callers take turns, jobs long asleep wake up") {
  ThreadPool pool(3);
  std::atomic<int> total{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller)
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        pool.run(10, 0, [&](std::size_t, float*) { total.fetch_add(1); });
        if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 8 * 200 * 10);
}

#if !defined(__SANITIZE_THREAD__)  // TSan does not follow threads started after a fork
TEST_CASE("threads: a pool works in a forked child, and its destructor is harmless there") {
  ThreadPool pool(3);
  pool.run(5, 0, [](std::size_t, float*) {});
  CHECK(forked([&] {
          std::atomic<int> total{0};
          {
            ThreadPool copy(2);
            copy.run(50, 0, [&](std::size_t, float*) { total.fetch_add(1); });
          }
          pool.run(50, 16, [&](std::size_t, float*) { total.fetch_add(1); });
          return total == 100;
        }) == 0);
}
#endif
