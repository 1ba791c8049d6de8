#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <semaphore>
#include <thread>
#include <vector>

#include "cpu/threads.h"
#include "cpu/turns.h"
#include "forked.h"

using filbert::cpu::ThreadPool;
using filbert::testing::forked;
using filbert::testing::kSanitized;

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

namespace {

// How many bodies run, and the most that did at a time.
class Running {
 public:
  void one() {
    const int now = now_.fetch_add(1) + 1;
    for (int seen = most_; seen < now && !most_.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::yield();
    total_.fetch_add(1);
    now_.fetch_sub(1);
  }
  int most() const { return most_; }
  int total() const { return total_; }

 private:
  std::atomic<int> now_{0}, most_{0}, total_{0};
};

// Where no open pool has more than so many threads.
int most_at_a_time(int threads) {
  const char* error = nullptr;
  return std::max(threads, filbert::cpu::default_threads(&error));
}

// Calls body(caller) in so many threads.
template <typename Body>
void call_from(int callers, const Body& body) {
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) threads.emplace_back([&body, caller] { body(caller); });
  for (std::thread& thread : threads) thread.join();
}

// A forward: several jobs, then a rest.
void forward(ThreadPool& pool, Running& running) {
  for (int i = 0; i < 4; ++i) pool.run(10, 16, [&](std::size_t, float*) { running.one(); });
  pool.rest();
}

}  // namespace

TEST_CASE("threads: callers take turns, jobs long asleep wake up") {
  ThreadPool pool(3);
  Running running;
  call_from(8, [&](int) {
    for (int i = 0; i < 50; ++i) {
      forward(pool, running);
      if (i % 12 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  CHECK(running.total() == 8 * 50 * 40);
  CHECK(running.most() <= most_at_a_time(3));
}

TEST_CASE("threads: no more compute at a time than there are cores, or than the largest pool has") {
  for (const int threads : {1, 2, 3}) {
    CAPTURE(threads);
    ThreadPool small(1), large(threads);
    Running running;
    call_from(8, [&](int caller) {
      for (int i = 0; i < 50; ++i) forward(caller % 2 ? small : large, running);
    });
    CHECK(running.total() == 8 * 50 * 40);
    CHECK(running.most() <= most_at_a_time(threads));
  }
}

TEST_CASE("threads: a job is worked on by no more than its pool has, whoever is free") {
  const ThreadPool unused(5);
  ThreadPool pool(2);
  Running running;
  for (int i = 0; i < 100; ++i) forward(pool, running);
  CHECK(running.most() <= 2);
}

TEST_CASE("threads: every caller gets on, beside others that never rest") {
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    std::atomic<int> behind{8};
    call_from(8, [&](int) {
      for (int jobs = 0; behind > 0; ++jobs) {
        pool.run(10, 0, [](std::size_t, float*) {});
        if (jobs == 4) behind.fetch_sub(1);
      }
      pool.rest();
    });
    CHECK(behind == 0);
  }
}

TEST_CASE("threads: a turn that came to no end holds nobody up") {
  ThreadPool pool(1);
  std::atomic<int> total{0};
  for (int i = 0; i < 3; ++i)
    call_from(1, [&](int) { pool.run(1, 0, [&](std::size_t, float*) { total.fetch_add(1); }); });
  CHECK(total == 3);
}

TEST_CASE("threads: a caller whose turn was taken away gets another") {
  ThreadPool pool(1);
  std::atomic<int> total{0};
  const auto run = [&] { pool.run(3, 0, [&](std::size_t, float*) { total.fetch_add(1); }); };
  run();
  call_from(1, [&](int) { run(); });
  run();
  pool.rest();
  CHECK(total == 9);
}

TEST_CASE("threads: the turn of a caller that comes back at once is kept, but not for one that is gone") {
  static filbert::cpu::Turns turns;  // its seats are never freed
  turns.set_limit(2);
  const auto a_while = std::chrono::milliseconds(2);
  const auto forward = [&] {
    turns.end_job(turns.begin_job());
    turns.rest();
  };
  const auto until_somebody_waits = [&] {
    while (!turns.is_wanted()) std::this_thread::yield();
  };
  bool kept = false;
  for (int attempt = 0; attempt < 1000 && !kept; ++attempt) {  // "at once" is a millisecond
    filbert::cpu::Seat& mine = turns.begin_job();
    std::binary_semaphore rested{0}, seated{0};
    std::thread gone([&] {
      forward();
      rested.release();
      seated.acquire();
      filbert::cpu::Seat& seat = turns.begin_job();
      until_somebody_waits();
      turns.end_job(seat);
      turns.rest();
    });
    std::thread other([&] {
      rested.acquire();
      filbert::cpu::Seat& seat = turns.begin_job();
      seated.release();
      until_somebody_waits();
      turns.end_job(seat);
      turns.rest();
      forward();
    });
    gone.join();
    kept = turns.is_wanted();
    turns.end_job(mine);
    turns.rest();
    other.join();
    std::this_thread::sleep_for(a_while);
    forward();
    std::this_thread::sleep_for(a_while);
    CHECK(turns.room() == 2);
  }
  CHECK(kept);
}

TEST_CASE("threads: many more threads than cores") {
  for (const int threads : {16, 64}) {
    ThreadPool pool(threads);
    call_from(4, [&](int) {
      for (int job = 0; job < 20; ++job) {
        std::vector<std::atomic<int>> runs(200);
        pool.run(runs.size(), 8, [&](std::size_t task, float* scratch) {
          scratch[7] = 1.0f;
          runs[task].fetch_add(1);
        });
        for (const auto& count : runs)
          if (count != 1) FAIL_CHECK("a task ran " << count << " times");
      }
      pool.rest();
    });
  }
}

TEST_CASE("threads: pools open and close while others run") {
  ThreadPool pool(2);
  Running running;
  call_from(4, [&](int caller) {
    for (int i = 0; i < 40; ++i) {
      if (caller < 2) {
        forward(pool, running);
      } else {
        ThreadPool other(1 + (i + caller) % 5);
        forward(other, running);
      }
    }
  });
  CHECK(running.total() == 4 * 40 * 40);
  CHECK(running.most() <= most_at_a_time(5));
}

TEST_CASE("threads: without memory for scratch nothing runs, and the pool goes on" * doctest::skip(kSanitized)) {
  ThreadPool pool(2);
  int runs = 0;
  CHECK_THROWS_AS(pool.run(5, SIZE_MAX / 8, [&](std::size_t, float*) { ++runs; }), std::bad_alloc);
  CHECK_THROWS_AS(pool.run(1, SIZE_MAX / 8, [&](std::size_t, float*) { ++runs; }), std::bad_alloc);
  CHECK(runs == 0);
  pool.run(1, 8, [&](std::size_t, float*) { ++runs; });
  CHECK(runs == 1);
  pool.rest();
}

TEST_CASE("threads: callers without memory for scratch, who try again at once, keep no turn" *
          doctest::skip(kSanitized)) {
  ThreadPool pool(2);
  Running running;
  call_from(6, [&](int caller) {
    for (int i = 0; i < 50; ++i) {
      forward(pool, running);
      if (caller % 2 == 0) CHECK_THROWS_AS(pool.run(1, SIZE_MAX / 8, [](std::size_t, float*) {}), std::bad_alloc);
    }
  });
  CHECK(running.total() == 6 * 50 * 40);
}

TEST_CASE("threads: forks while many call, and pools open and close" * doctest::skip(kSanitized)) {
  ThreadPool pool(3);
  Running running;
  std::atomic<bool> stop{false};
  std::thread callers([&] {
    call_from(5, [&](int caller) {
      while (!stop) {
        if (caller == 0) {
          ThreadPool other(5);
          forward(other, running);
        } else {
          forward(pool, running);
        }
      }
    });
  });
  for (int i = 0; i < 50; ++i)
    CHECK(forked([&] {
            Running of_child;
            call_from(4, [&](int) { forward(pool, of_child); });
            return of_child.total() == 160;
          }) == 0);
  stop = true;
  callers.join();
}

TEST_CASE("threads: a pool works in a forked child, and its destructor is harmless there" * doctest::skip(kSanitized)) {
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
