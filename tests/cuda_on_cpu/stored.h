// Numbers as the kernels store them, and how far rounding to that type may move one.
#pragma once

#include <cmath>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/ptx.h"
#include "floats.h"

namespace filbert::testing {

template <typename T>
struct Stored;
template <>
struct Stored<float> {
  static constexpr cuda::Type kType = cuda::Type::f32;
  static constexpr double kUnit = 0x1p-24, kLeast = 0;  // relative, and absolute for subnormals
};
template <>
struct Stored<cuda::F16> {
  static constexpr cuda::Type kType = cuda::Type::f16;
  static constexpr double kUnit = 0x1p-11, kLeast = 0x1p-25;
};
template <>
struct Stored<cuda::Bf16> {
  static constexpr cuda::Type kType = cuda::Type::bf16;
  static constexpr double kUnit = 0x1p-8, kLeast = 0;
};

template <typename T>
std::vector<T> stored(const std::vector<float>& values) {
  std::vector<T> result;
  for (const float value : values) result.push_back(cuda::from_float<T>(value));
  return result;
}

template <typename T>
std::vector<float> floats(const std::vector<T>& values) {
  std::vector<float> result;
  for (const T value : values) result.push_back(cuda::to_float(value));
  return result;
}

template <typename T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return same_bits(floats(a), floats(b));
}

template <typename T>
std::vector<T> rows_of(const std::vector<T>& x, std::size_t width, std::size_t begin, std::size_t end) {
  return {x.begin() + static_cast<std::ptrdiff_t>(begin * width), x.begin() + static_cast<std::ptrdiff_t>(end * width)};
}

// Whether `got` is `exact` with an error of `error`, rounded to T.
template <typename T>
bool is_near(double got, double exact, double error) {
  return std::abs(got - exact) <= error + Stored<T>::kUnit * (std::abs(exact) + error) + Stored<T>::kLeast;
}

}  // namespace filbert::testing
