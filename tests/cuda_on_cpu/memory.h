// What is allocated on the device and as pinned memory. Device memory is the host's to touch only while the device
// works: the address sanitizer reports any other access.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <map>

namespace filbert::cuda_on_cpu {

class Memory {
 public:
  explicit Memory(bool poisoned) : poisoned_(poisoned) {}

  // Blocks start as NaN.
  cudaError_t allocate(std::size_t limit, void** out, std::size_t bytes);
  cudaError_t release(void* block);

  bool holds(const void* begin, std::size_t size) const;
  std::size_t bytes() const { return bytes_; }

  void poison() const;
  void unpoison() const;

 private:
  bool poisoned_;
  std::map<std::byte*, std::size_t> blocks_;
  std::size_t bytes_ = 0;
};

Memory& device_memory();
Memory& pinned_memory();

class DeviceWorks {
 public:
  DeviceWorks() { device_memory().unpoison(); }
  ~DeviceWorks() { device_memory().poison(); }
  DeviceWorks(const DeviceWorks&) = delete;
  DeviceWorks& operator=(const DeviceWorks&) = delete;
};

}  // namespace filbert::cuda_on_cpu
