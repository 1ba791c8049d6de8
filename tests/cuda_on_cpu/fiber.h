// Stacks that a thread of the host switches between by hand: no signals, no system calls, some ten instructions.
#pragma once

#include <cstddef>

namespace filbert::cuda_on_cpu {

class Fiber {
 public:
  Fiber() = default;  // of the calling thread, on the stack it has
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // What it did before is forgotten. `entry` runs at the first switch to it and must not return. Fibers of different
  // numbers start at different offsets in a page, or all would use the same few lines of the L1 cache.
  void start(void (*entry)(), unsigned number);

  // Saves where the calling thread is in `from`. `last`: nobody will switch to `from` again.
  static void switch_to(Fiber& from, Fiber& to, bool last = false);
  // What a fiber calls first.
  static void started();

 private:
  void* stack_pointer_ = nullptr;
  std::byte* stack_ = nullptr;
  void* fake_stack_ = nullptr;  // of the address sanitizer
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace filbert::cuda_on_cpu
