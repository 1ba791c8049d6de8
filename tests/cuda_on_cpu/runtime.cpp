// The functions of cuda_runtime.h that deal with errors and devices, and what all functions share.
#include <utility>

#include "calls.h"
#include "cuda_on_cpu/launch.h"
#include "cuda_on_cpu/machine.h"

namespace filbert::cuda_on_cpu {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

Machine& machine() {
  static Machine one;
  return one;
}

std::recursive_mutex& runtime_mutex() {
  static auto& one = *new std::recursive_mutex;
  return one;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t enter() {
  Machine& now = machine();
  if (now.driver != cudaSuccess) return now.driver;
  if (now.devices == 0) return cudaErrorNoDevice;
  if (now.calls_until_failure < 0) return cudaSuccess;
  return now.calls_until_failure-- == 0 ? now.failure : cudaSuccess;
}

cudaError_t check_launch(const Launch& launch) {
  const auto threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  const bool fits = threads > 0 && threads <= 1024 && threads % kWarp == 0 && launch.grid.x <= 0x7fffffffu &&
                    launch.grid.y <= 65535 && launch.grid.z <= 65535;
  const std::lock_guard lock(runtime_mutex());
  if (!fits) return remember(cudaErrorInvalidConfiguration);
  return remember(launch.shared_bytes <= machine().shared_memory ? cudaSuccess : cudaErrorInvalidValue);
}

}  // namespace filbert::cuda_on_cpu

using namespace filbert::cuda_on_cpu;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define FILBERT_NAME(name) \
  case name:               \
    return #name;
    FILBERT_NAME(cudaSuccess)
    FILBERT_NAME(cudaErrorInvalidValue)
    FILBERT_NAME(cudaErrorMemoryAllocation)
    FILBERT_NAME(cudaErrorInitializationError)
    FILBERT_NAME(cudaErrorInvalidConfiguration)
    FILBERT_NAME(cudaErrorInsufficientDriver)
    FILBERT_NAME(cudaErrorNoDevice)
    FILBERT_NAME(cudaErrorInvalidDevice)
    FILBERT_NAME(cudaErrorNoKernelImageForDevice)
    FILBERT_NAME(cudaErrorInvalidResourceHandle)
    FILBERT_NAME(cudaErrorNotReady)
    FILBERT_NAME(cudaErrorIllegalAddress)
    FILBERT_NAME(cudaErrorLaunchFailure)
    FILBERT_NAME(cudaErrorStreamCaptureUnsupported)
    FILBERT_NAME(cudaErrorStreamCaptureInvalidated)
    FILBERT_NAME(cudaErrorUnknown)
#undef FILBERT_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaDriverGetVersion(int* version) {
  const cudaError_t driver = machine().driver;
  *version = driver == cudaSuccess ? 13000 : driver == cudaErrorInsufficientDriver ? 11040 : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([&] {
    *count = machine().devices;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&] {
    if (device < 0 || device >= machine().devices) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&] {
    *device = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(capture_mode, *mode);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    if (device < 0 || device >= machine().devices) return cudaErrorInvalidDevice;
    *properties = {.name = "CUDA on CPU",
                   .totalGlobalMem = machine().memory,
                   .sharedMemPerBlockOptin = machine().shared_memory,
                   .major = machine().major,
                   .minor = machine().minor,
                   .multiProcessorCount = machine().processors,
                   .l2CacheSize = 4 << 20};
    return cudaSuccess;
  });
}
