// Rows of a storage type in device memory, from and to float32.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/ptx.h"
#include "device_array.h"

namespace filbert::testing {

inline constexpr cuda::Type kTypes[] = {cuda::Type::f32, cuda::Type::f16, cuda::Type::bf16};
inline constexpr cuda::Type k16BitTypes[] = {cuda::Type::f16, cuda::Type::bf16};

// The most that rounding to a type adds: relatively, and of the smallest numbers absolutely.
inline double unit(cuda::Type type) {
  return type == cuda::Type::f32 ? 0x1p-24 : type == cuda::Type::f16 ? 0x1p-11 : 0x1p-8;
}
inline double smallest(cuda::Type type) { return type == cuda::Type::f16 ? 0x1p-25 : 0; }

inline float rounded(cuda::Type type, float value) {
  if (type == cuda::Type::f16) return cuda::to_float(cuda::from_float<cuda::F16>(value));
  return type == cuda::Type::bf16 ? cuda::to_float(cuda::from_float<cuda::Bf16>(value)) : value;
}

// `shift`: how many numbers past an aligned address the first one lies.
class TypedArray {
 public:
  TypedArray(cuda::Type type, std::size_t count, std::size_t shift = 0)
      : type_(type), count_(count), shift_(shift), bytes_((count + shift) * cuda::size_of(type)) {}

  TypedArray(cuda::Type type, const std::vector<float>& values, std::size_t shift = 0)
      : TypedArray(type, values.size(), shift) {
    std::vector<unsigned char> bytes(values.size() * cuda::size_of(type));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t half = type == cuda::Type::f16 ? cuda::from_float<cuda::F16>(values[i]).bits
                                                         : cuda::from_float<cuda::Bf16>(values[i]).bits;
      if (type == cuda::Type::f32)
        std::memcpy(&bytes[i * 4], &values[i], 4);
      else
        std::memcpy(&bytes[i * 2], &half, 2);
    }
    REQUIRE(cudaMemcpy(data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice) == cudaSuccess);
  }

  void* data() const { return bytes_.data() + shift_ * cuda::size_of(type_); }

  std::vector<float> host() const {
    const std::vector<unsigned char> bytes = bytes_.host();
    std::vector<float> values(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      const unsigned char* from = &bytes[(shift_ + i) * cuda::size_of(type_)];
      std::uint16_t half;
      std::memcpy(&half, from, 2);
      if (type_ == cuda::Type::f32)
        std::memcpy(&values[i], from, 4);
      else
        values[i] = type_ == cuda::Type::f16 ? cuda::to_float(cuda::F16{half}) : cuda::to_float(cuda::Bf16{half});
    }
    return values;
  }

 private:
  cuda::Type type_;
  std::size_t count_, shift_;
  DeviceArray<unsigned char> bytes_;
};

}  // namespace filbert::testing
