// The tasks of one call of ThreadPool::run, and the threads that work on them. Any thread may come or go at any time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace filbert::cpu {

struct Work {
  void (*function)(const void* context, std::size_t task, float* scratch);
  const void* context;
  std::size_t tasks;
  std::size_t scratch_floats;
};

class Job {
 public:
  // The owner's. Helpers come in as long as the door is open, at most so many at a time.
  void open(const Work& work, int helpers) {
    work_ = work;
    next_.store(0, std::memory_order_relaxed);
    door_.store(helpers > 0 ? kOpen | static_cast<std::uint32_t>(helpers) * kPlace : 0, std::memory_order_release);
  }

  const Work& work() const { return work_; }  // of those inside

  bool is_open() const { return has_place(door_.load(std::memory_order_relaxed)); }

  bool enter() {
    std::uint32_t seen = door_.load(std::memory_order_relaxed);
    while (has_place(seen))
      if (door_.compare_exchange_weak(seen, seen - kPlace + 1, std::memory_order_acquire)) return true;
    return false;
  }
  void leave() { door_.fetch_add(kPlace - 1, std::memory_order_release); }

  // Runs tasks until there are none or more() is false. Who finds none left shuts the door, so that a helper that wakes
  // late need not be waited for.
  template <typename More>
  void drain(float* scratch, const More& more) {
    do {
      const std::size_t task = next_.fetch_add(1, std::memory_order_relaxed);
      if (task >= work_.tasks) {
        door_.fetch_and(~kOpen, std::memory_order_relaxed);
        return;
      }
      work_.function(work_.context, task, scratch);
    } while (more());
  }

  bool has_helpers() const { return (door_.load(std::memory_order_acquire) & kInside) != 0; }

 private:
  // door_: open or not, how many more may come in, how many are inside.
  static constexpr std::uint32_t kOpen = 1u << 31, kPlace = 1u << 16, kInside = kPlace - 1;

  static bool has_place(std::uint32_t door) { return (door & kOpen) && (door & ~kOpen) >= kPlace; }

  Work work_ = {};
  alignas(64) std::atomic<std::uint32_t> door_{0};
  alignas(64) std::atomic<std::size_t> next_{0};
};

}  // namespace filbert::cpu
