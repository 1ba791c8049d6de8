// Memory of one forward, the device's or mapped: taken front to back, given back all at once. After the first forward
// of a size it is one block, and further ones allocate nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <vector>

#include "engine/ops.h"

namespace filbert {

class Arena {
 public:
  enum class Memory { device, mapped };

  explicit Arena(const Ops& ops, Memory memory = Memory::device) : ops_(ops), memory_(memory) {}
  ~Arena() { release(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // [rows, columns], aligned to 64 bytes, uninitialised
  template <typename T>
  T* take(std::size_t rows, std::size_t columns = 1) {
    return static_cast<T*>(take_bytes(rows * columns * sizeof(T)));
  }

  void* activations(std::size_t rows, std::size_t width) {
    return take_bytes(rows * width * ops_.device().activation_bytes);
  }

  // Changes whenever memory does. Until then what is taken after a reset lies where it lay after the last one.
  std::size_t generation() const { return generation_; }

  // Everything taken is free again.
  void reset() {
    if (blocks_.size() > 1) {
      const std::size_t total = capacity();
      release();
      add_block(total);
    }
    used_ = 0;
  }

 private:
  struct Block {
    char* data;
    std::size_t size;
  };

  std::size_t capacity() const {
    std::size_t total = 0;
    for (const Block& block : blocks_) total += block.size;
    return total;
  }

  void add_block(std::size_t size) {
    ++generation_;
    blocks_.reserve(blocks_.size() + 1);
    const bool mapped = memory_ == Memory::mapped;
    if (mapped) size = std::bit_ceil(std::max(size, kLeastMapped));
    blocks_.push_back({static_cast<char*>(mapped ? ops_.alloc_mapped(size) : ops_.alloc(size)), size});
  }

  void* take_bytes(std::size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (blocks_.empty() || blocks_.back().size - used_ < bytes) {
      add_block(bytes);
      used_ = 0;
    }
    char* data = blocks_.back().data + used_;
    used_ += bytes;
    return data;
  }

  void release() {
    for (const Block& block : blocks_) memory_ == Memory::mapped ? ops_.free_mapped(block.data) : ops_.free(block.data);
    blocks_.clear();
  }

  static constexpr std::size_t kLeastMapped = std::size_t{1} << 18;  // pinning takes longer than a small forward

  const Ops& ops_;
  Memory memory_;
  std::vector<Block> blocks_;
  std::size_t used_ = 0;  // of the last block
  std::size_t generation_ = 0;
};

}  // namespace filbert
