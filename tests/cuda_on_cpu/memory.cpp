#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cuda_on_cpu/machine.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, size) (static_cast<void>(begin), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(begin, size) (static_cast<void>(begin), static_cast<void>(size))
#endif

namespace filbert::cuda_on_cpu {

cudaError_t Memory::allocate(std::size_t limit, void** out, std::size_t bytes) {
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > limit - std::min(limit, bytes_)) return cudaErrorMemoryAllocation;
  if (posix_memalign(out, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*out, 0xff, bytes);
  if (poisoned_) ASAN_POISON_MEMORY_REGION(*out, bytes);
  blocks_[static_cast<std::byte*>(*out)] = bytes;
  bytes_ += bytes;
  return cudaSuccess;
}

cudaError_t Memory::release(void* block) {
  const auto found = blocks_.find(static_cast<std::byte*>(block));
  if (found == blocks_.end()) return cudaErrorInvalidValue;
  ASAN_UNPOISON_MEMORY_REGION(block, found->second);
  bytes_ -= found->second;
  blocks_.erase(found);
  std::free(block);
  return cudaSuccess;
}

bool Memory::holds(const void* begin, std::size_t size) const {
  const auto* first = static_cast<const std::byte*>(begin);
  auto after = blocks_.upper_bound(const_cast<std::byte*>(first));
  if (after == blocks_.begin()) return false;
  --after;
  return first + size <= after->first + after->second;
}

void Memory::poison() const {
  for (const auto& [begin, size] : blocks_) ASAN_POISON_MEMORY_REGION(begin, size);
}

void Memory::unpoison() const {
  for (const auto& [begin, size] : blocks_) ASAN_UNPOISON_MEMORY_REGION(begin, size);
}

// Never destroyed, as nothing of the runtime is: others' destructors may call it when the process ends.
Memory& device_memory() {
  static auto& one = *new Memory(true);
  return one;
}

Memory& pinned_memory() {
  static auto& one = *new Memory(false);
  return one;
}

std::size_t device_bytes() { return device_memory().bytes(); }
std::size_t pinned_bytes() { return pinned_memory().bytes(); }

}  // namespace filbert::cuda_on_cpu
