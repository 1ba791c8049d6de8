// The threads of the process that help callers, whatever model these call.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/job.h"
#include "cpu/scratch.h"
#include "cpu/turns.h"

namespace filbert::cpu {

class Crew {
 public:
  // Has as many workers as a caller with that many threads needs, and no more; with 0, no memory, either.
  // std::bad_alloc, std::system_error.
  void fit(int (*largest)());
  int threads() const { return threads_.load(std::memory_order_acquire); }

  // On at most so many threads, of which the calling one is the first. std::bad_alloc before anything has run.
  void run(int threads, const Work&);
  void rest() { turns_.rest(); }
  void leave() { turns_.leave(); }

 private:
  struct Worker {
    std::thread thread;
    std::atomic<bool> stop{false};
    Scratch scratch;                        // its own
    std::atomic<Scratch*> larger{nullptr};  // for it to take
    ~Worker() { delete larger.load(); }
  };

  void start_worker();
  void stop_worker();
  void reserve_scratch(std::size_t floats);
  void call_workers(int wanted);
  void work(Worker&);
  bool help(Worker&);

  Turns turns_;
  alignas(64) std::atomic<int> calls_{0};
  std::atomic<int> asleep_{0};

  alignas(64) std::atomic<int> threads_{0};
  std::atomic<std::size_t> scratch_floats_{0};  // that each worker has or can take
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace filbert::cpu
