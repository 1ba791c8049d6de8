// Opening a device, and the errors of the CUDA runtime as statuses of the op table.
#pragma once

#include <cuda_runtime.h>
#include <sys/types.h>

#include <cstddef>
#include <string>

#include "filbert/backend.h"

namespace filbert::cuda {

// What error_message() gives to the calling thread.
const char* error_message();
filbert_status fail(filbert_status status, const std::string& message);

// FILBERT_OK, or what went wrong while `doing` something, in the words of the runtime.
filbert_status check(cudaError_t error, const char* doing);

// One device in use by this process.
class Device {
 public:
  // Asks for its properties, without a context. FILBERT_UNAVAILABLE: no such device, no driver, or the GPU is too old.
  static filbert_status find(int index, cudaDeviceProp& properties);
  // Finds it; it is this process's.
  static filbert_status open(int index, Device& out);

  // Whether another process opened it: this one must leave the device's memory alone.
  bool is_foreign() const;

  filbert_status alloc(std::size_t bytes, void** out) const;

  const cudaDeviceProp& properties() const { return properties_; }

 private:
  friend class Current;

  int index_ = 0;
  pid_t process_ = 0;
  cudaDeviceProp properties_ = {};
};

// Makes a device the calling thread's current one. In the end the thread has its own back, and how its calls bear with
// captures that others make: ours disturb none.
class Current {
 public:
  explicit Current(const Device&);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

  // FILBERT_OK, or why it could not be. It fails in a process that was forked after opening the device.
  filbert_status status() const { return status_; }

 private:
  filbert_status status_;
  int index_ = 0, before_ = 0;
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace filbert::cuda
