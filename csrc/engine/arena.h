// Device memory of one forward: taken front to back, given back all at once. After the first forward of a size it is
// one block, and further ones allocate nothing.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/ops.h"

namespace filbert {

class Arena {
 public:
  explicit Arena(const Ops& ops) : ops_(ops) {}
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
    blocks_.push_back({static_cast<char*>(ops_.alloc(size)), size});
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
    for (const Block& block : blocks_) ops_.free(block.data);
    blocks_.clear();
  }

  const Ops& ops_;
  std::vector<Block> blocks_;
  std::size_t used_ = 0;  // of the last block
  std::size_t generation_ = 0;
};

}  // namespace filbert
