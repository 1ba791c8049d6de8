// What all functions of the fake runtime share: one lock, the failures that a test asks for, the last error of a
// thread.
#pragma once

#include <cuda_runtime.h>

#include <mutex>

namespace filbert::cuda_on_cpu {

// Held from the beginning to the end of a call, and so while the device works.
std::recursive_mutex& runtime_mutex();

// What every call begins with: the failure that the machine has for it.
cudaError_t enter();

// For cudaGetLastError. That something is not ready is no error.
cudaError_t remember(cudaError_t);

// Captures of this thread during which calls that are no work of a stream are errors, unless it is in relaxed mode.
inline thread_local int strict_captures = 0;
inline thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
inline bool is_strict() { return strict_captures > 0 && capture_mode != cudaStreamCaptureModeRelaxed; }
inline thread_local int current_device = 0;

template <typename Body>
cudaError_t call(Body body) {
  const std::lock_guard lock(runtime_mutex());
  if (const cudaError_t error = enter()) return remember(error);
  return remember(body());
}

// For what waits for the device or allocates on it.
template <typename Body>
cudaError_t synchronous_call(Body body) {
  return call([&] { return is_strict() ? cudaErrorStreamCaptureUnsupported : body(); });
}

}  // namespace filbert::cuda_on_cpu
