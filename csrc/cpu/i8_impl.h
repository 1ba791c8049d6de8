// int8 operands: a row of activations becomes integers of absmax / 127 each, after a Hadamard rotation of every whole
// block of kRotation numbers. The rows of the weights are rotated alike at load, so the product is what it was, but
// outliers are spread over the block and cost the other numbers far less precision (QuaRot, arXiv:2404.00456).
// Sums are exact in int32.
#pragma once

#include "cpu/matmul_impl.h"
#include "cpu/rotation.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

template <std::size_t Stride>
inline void rotate_lanes(Vec* v, std::size_t count) {
  if constexpr (Stride < kWidth) {
    FILBERT_UNROLL
    for (std::size_t i = 0; i < count; ++i) v[i] = butterfly<Stride>(v[i]);
    rotate_lanes<2 * Stride>(v, count);
  }
}

// The normalised Hadamard transform of kRotation numbers.
inline void rotate_block(const float* x, float* out) {
  constexpr std::size_t kCount = kRotation / kWidth;
  Vec v[kCount];
  FILBERT_UNROLL
  for (std::size_t i = 0; i < kCount; ++i) v[i] = load(x + i * kWidth) * set(kRotationScale);
  rotate_lanes<1>(v, kCount);
  FILBERT_UNROLL
  for (std::size_t stride = 1; stride < kCount; stride *= 2) FILBERT_UNROLL
  for (std::size_t i = 0; i < kCount; ++i)
    if ((i & stride) == 0) {
      const Vec a = v[i];
      const Vec b = v[i + stride];
      v[i] = a + b;
      v[i + stride] = a - b;
    }
  FILBERT_UNROLL
  for (std::size_t i = 0; i < kCount; ++i) store(out + i * kWidth, v[i]);
}

// out[k] = the rotated row as integers, then whatever up to `padded`; returns what one of them is worth. A row with a
// NaN or an infinity gives NaN or infinity.
template <typename T>
inline float pack_i8_row(const float* x, std::size_t k, std::size_t padded, float* rotated, typename T::Integer* out) {
  std::size_t i = 0;
  for (; i + kRotation <= k; i += kRotation) rotate_block(x + i, rotated + i);
  for (; i < k; ++i) rotated[i] = x[i];
  Vec magnitudes = set(0.0f);
  for_each_vector(k, [&](std::size_t j, std::size_t lanes) {
    magnitudes = max_magnitude(magnitudes, load_first(rotated + j, lanes));
  });
  const float top = reduce_max_magnitude(magnitudes);
  const Vec inverse = set(top > 0.0f ? 127.0f / top : 0.0f);
  for (i = 0; i < padded; i += kWidth) {
    const std::size_t lanes = i + kWidth <= k ? kWidth : (i < k ? k - i : 0);
    T::store_integers(out + i, load_first(rotated + i, lanes) * inverse);
  }
  return top * (1.0f / 127.0f);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
