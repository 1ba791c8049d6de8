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
  // Finds it, and makes it current.
  static filbert_status open(int index, Device& out);

  // Makes it current for the calling thread. Fails in a process that was forked after opening it.
  filbert_status use() const;
  // Whether another process opened it: this one must leave the device's memory alone.
  bool is_foreign() const;

  filbert_status alloc(std::size_t bytes, void** out) const;

  const cudaDeviceProp& properties() const { return properties_; }

 private:
  int index_ = 0;
  pid_t process_ = 0;
  cudaDeviceProp properties_ = {};
};

}  // namespace filbert::cuda
