// Runs the blocks of a kernel one after another, the threads of a block as fibers that take turns in an order drawn
// from a seed. A thread runs until it must wait for others. What a GPU leaves undefined is made visible: shared memory
// starts as NaN, the target of a copy is NaN until it is there, sums of products of four warps are until the wait, a
// barrier that not all threads reach is an error.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>

namespace filbert::cuda_on_cpu {

// Names kernel (by where it was launched), block, seed and what went wrong.
class SimulationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Launch {
  dim3 grid, block;
  std::size_t shared_bytes;
  std::source_location site;
  std::function<void()> thread;  // the kernel with its arguments
};

// One at a time. Throws SimulationError, out of the call that waits for the kernel; the device is usable afterwards.
void simulate(const Launch&);

// The rest is called by kernels, through cuda_on_cpu/ptx.h.

inline constexpr unsigned kWarp = 32;

// What each lane brought along, which holds what it gets too.
using WarpAction = void (*)(void* const (&lanes)[kWarp]);

// Returns once every lane of the warp has called it with this action, which then ran once.
void meet_warp(const char* name, WarpAction action, void* lane);

void sync_block();
std::byte* shared_memory();
void cp_async_16(void* shared, const void* global, bool valid);
void cp_async_commit();
void cp_async_wait(unsigned pending);

// The 16 bytes at `row` must be aligned shared memory of the block.
void check_shared(const char* operation, const void* row);

}  // namespace filbert::cuda_on_cpu
