// The functions of cuda_runtime.h that allocate, free and copy. As the real ones, copies to the device take the bytes
// of pageable memory at once, those of pinned memory when the stream comes to it; to pageable memory they wait for the
// stream. Frees wait for everything.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "calls.h"
#include "cuda_on_cpu/machine.h"
#include "memory.h"
#include "streams.h"

namespace filbert::cuda_on_cpu {
namespace {

bool is_copy_in_bounds(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Memory& device = device_memory();
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) return true;
  return device.holds(to, bytes) == to_device && device.holds(from, bytes) == from_device;
}

bool is_pageable(const void* begin, std::size_t bytes) {
  return !device_memory().holds(begin, bytes) && !pinned_memory().holds(begin, bytes);
}

Work copy_of_what_is_there_now(void* to, const void* from, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  return [to, taken = std::make_shared<const std::vector<std::byte>>(begin, begin + bytes)] {
    std::memcpy(to, taken->data(), taken->size());
  };
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!is_copy_in_bounds(to, from, bytes, kind)) return cudaErrorInvalidValue;
  const bool captured = is_captured(stream);
  const cudaError_t error = !captured && is_pageable(from, bytes)
                                ? give(stream, copy_of_what_is_there_now(to, from, bytes))
                                : give(stream, [=] { std::memmove(to, from, bytes); });
  return error == cudaSuccess && !captured && is_pageable(to, bytes) ? wait_for(stream) : error;
}

cudaError_t set(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!device_memory().holds(to, bytes)) return cudaErrorInvalidValue;
  return give(stream, [=] { std::memset(to, value, bytes); });
}

// For what is done when it returns, on the default stream.
cudaError_t and_wait(cudaError_t given) { return given == cudaSuccess ? wait_for(nullptr) : given; }

// A failure that a free reports is that of earlier work: the memory is free all the same.
cudaError_t free_call(Memory& memory, void* block) {
  const std::lock_guard lock(runtime_mutex());
  if (is_strict()) return remember(cudaErrorStreamCaptureUnsupported);
  const cudaError_t earlier = enter();
  if (!block) return remember(earlier);
  finish_all();
  const cudaError_t error = memory.release(block);
  if (earlier != cudaSuccess) return remember(earlier);
  return remember(error == cudaSuccess && has_failed() ? cudaErrorLaunchFailure : error);
}

}  // namespace
}  // namespace filbert::cuda_on_cpu

using namespace filbert::cuda_on_cpu;

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return synchronous_call([&] { return device_memory().allocate(machine().memory, memory, bytes); });
}
cudaError_t cudaFree(void* memory) { return free_call(device_memory(), memory); }

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return synchronous_call([&] { return pinned_memory().allocate(SIZE_MAX, memory, bytes); });
}
cudaError_t cudaFreeHost(void* memory) { return free_call(pinned_memory(), memory); }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&] {
    *total = machine().memory;
    *free = *total - std::min(*total, device_memory().bytes());
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return synchronous_call([&] { return and_wait(copy(to, from, bytes, kind, nullptr)); });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&] { return copy(to, from, bytes, kind, stream); });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return synchronous_call([&] { return and_wait(set(to, value, bytes, nullptr)); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&] { return set(to, value, bytes, stream); });
}
