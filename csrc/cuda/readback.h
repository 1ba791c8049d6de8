// Activations on their way to host memory: float32 through two halves of pinned memory, one being filled by the device
// while the other is copied out.
#pragma once

#include <mutex>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace filbert::cuda {

// The stream that results come from, and the lock of who puts work on it.
struct SharedStream {
  const Device& device;
  cudaStream_t stream;
  std::recursive_mutex& mutex;
};

class Readback {
 public:
  Readback() = default;
  ~Readback();  // with the device current
  Readback(const Readback&) = delete;
  Readback& operator=(const Readback&) = delete;

  // Callers take turns. Allocates at the first call. Device memory is not freed by a process that did not open it.
  filbert_status read(const SharedStream&, Type, const void* activation, std::size_t count, float* host);

 private:
  struct Half {
    float* device = nullptr;
    float* pinned = nullptr;
    cudaEvent_t copied = nullptr;
  };

  filbert_status prepare(const Device&);
  filbert_status start(const Half&, const SharedStream&, Type, const void* activation, std::size_t count);

  std::mutex mutex_;
  Half halves_[2];
};

}  // namespace filbert::cuda
