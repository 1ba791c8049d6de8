// The device that the fake runtime pretends to have. Tests change it and put it back (Restore).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cuda_on_cpu {

struct Machine {
  cudaError_t driver = cudaSuccess;  // or what every call returns: no driver, one that is too old
  int devices = 1;
  std::size_t memory = std::size_t{1} << 30;
  std::size_t shared_memory = 101376;  // of a block: the least of sm_80 to sm_100
  int major = 8, minor = 6;            // of the architecture
  int processors = 4;                  // few, so that tests reach a second wave of blocks
  std::uint64_t seed = 1;              // of the order in which threads, warps and blocks run
  int calls_until_failure = -1;        // this many more calls succeed, the next one returns `failure`; -1: all succeed
  cudaError_t failure = cudaErrorUnknown;
};

Machine& machine();

class Restore {
 public:
  Restore() : before_(machine()) {}
  ~Restore() { machine() = before_; }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  Machine before_;
};

// Blocks that ran, of all kernels so far.
std::uint64_t blocks_run();

// What is allocated now, on the device and as pinned memory.
std::size_t device_bytes();
std::size_t pinned_bytes();

}  // namespace filbert::cuda_on_cpu
