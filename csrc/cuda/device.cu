#include "cuda/device.h"

#include <unistd.h>

#include <cstdio>

namespace filbert::cuda {
namespace {

thread_local char message[512] = "";

// The oldest that has bfloat16 products and asynchronous copies to shared memory: Ampere.
constexpr int kOldestMajor = 8;

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

// Why there is no count of devices.
filbert_status fail_to_count(cudaError_t error) {
  cudaGetLastError();  // else the next launch would report it again
  int driver = 0, runtime = 0;
  if (error == cudaErrorNoDevice) return fail(FILBERT_UNAVAILABLE, cudaGetErrorString(error));
  if (error != cudaErrorInsufficientDriver || cudaDriverGetVersion(&driver) != cudaSuccess)
    return fail(FILBERT_FAILED, cudaGetErrorString(error));
  if (driver == 0) return fail(FILBERT_UNAVAILABLE, "there is no NVIDIA driver");
  cudaRuntimeGetVersion(&runtime);
  return fail(FILBERT_FAILED,
              "the NVIDIA driver is for CUDA " + version(driver) + ", this plug-in needs " + version(runtime));
}

}  // namespace

filbert_status Device::find(int index, cudaDeviceProp& properties) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return fail_to_count(error);
  if (count == 0) return fail(FILBERT_UNAVAILABLE, "there is no CUDA device");
  if (index < 0 || index >= count)
    return fail(FILBERT_UNAVAILABLE, "there is no device cuda:" + std::to_string(index) +
                                         ", the last one is cuda:" + std::to_string(count - 1));
  const filbert_status status =
      check(cudaGetDeviceProperties(&properties, index), "asking for the device's properties");
  if (status != FILBERT_OK) return status;
  if (properties.major < kOldestMajor)
    return fail(FILBERT_UNAVAILABLE, std::string(properties.name) + " has compute capability " +
                                         std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                                         ", the least is " + std::to_string(kOldestMajor) + ".0");
  return FILBERT_OK;
}

const char* error_message() { return message; }

filbert_status fail(filbert_status status, const std::string& text) {
  std::snprintf(message, sizeof(message), "%s", text.c_str());
  return status;
}

filbert_status check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return FILBERT_OK;
  cudaGetLastError();  // else the next launch would report it again
  return fail(FILBERT_FAILED, std::string(doing) + ": " + cudaGetErrorString(error));
}

filbert_status Device::open(int index, Device& out) {
  const filbert_status status = find(index, out.properties_);
  if (status != FILBERT_OK) return status;
  out.index_ = index;
  out.process_ = getpid();
  return FILBERT_OK;
}

bool Device::is_foreign() const { return getpid() != process_; }

Current::Current(const Device& device) {
  if (device.is_foreign()) {
    status_ = fail(FILBERT_FAILED, "CUDA does not survive a fork: load the model in the process that uses it");
    return;
  }
  before_ = device.index_;
  cudaError_t error = cudaGetDevice(&before_);
  if (error == cudaSuccess && before_ != device.index_) error = cudaSetDevice(device.index_);
  if (error == cudaSuccess) error = cudaThreadExchangeStreamCaptureMode(&mode_);
  index_ = device.index_;
  status_ = check(error, "selecting the device");
}

Current::~Current() {
  if (status_ != FILBERT_OK) return;
  cudaThreadExchangeStreamCaptureMode(&mode_);
  if (before_ != index_) cudaSetDevice(before_);
}

filbert_status Device::alloc(std::size_t bytes, void** out) const {
  const Current current(*this);
  if (current.status() != FILBERT_OK) return current.status();
  const cudaError_t error = cudaMalloc(out, bytes);
  if (error != cudaErrorMemoryAllocation) return check(error, "allocating memory");
  cudaGetLastError();
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return fail(FILBERT_FAILED, "out of device memory: " + std::to_string(bytes) + " bytes wanted, " +
                                  std::to_string(free) + " of " + std::to_string(total) + " are free");
}

}  // namespace filbert::cuda
