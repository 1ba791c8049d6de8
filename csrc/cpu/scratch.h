// Memory of a thread, aligned to 64 bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace filbert::cpu {

class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(std::size_t floats)
      : data_(static_cast<float*>(::operator new[](floats * sizeof(float), std::align_val_t{64}))), floats_(floats) {}

  float* data() const { return data_.get(); }
  std::size_t floats() const { return floats_; }

 private:
  struct Free {
    void operator()(float* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  std::unique_ptr<float[], Free> data_;
  std::size_t floats_ = 0;
};

}  // namespace filbert::cpu
