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

// The normalised Hadamard transform of kRotation numbers, each multiplied by its factor (null: by 1).
inline void rotate_block(const float* x, const float* factors, float* out) {
  constexpr std::size_t kCount = kRotation / kWidth;
  Vec v[kCount];
  FILBERT_UNROLL
  for (std::size_t i = 0; i < kCount; ++i) {
    v[i] = load(x + i * kWidth) * set(kRotationScale);
    if (factors) v[i] = v[i] * load(factors + i * kWidth);
  }
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

// out[words] = the rotated row as integers, zeros behind it; returns what one of them is worth. A row with a
// NaN or an infinity gives NaN or infinity.
template <typename T>
inline float pack_i8_row(const float* x, const float* factors, std::size_t k, std::size_t words, float* rotated,
                         std::uint32_t* out) {
  std::size_t i = 0;
  for (; i + kRotation <= k; i += kRotation) rotate_block(x + i, factors ? factors + i : nullptr, rotated + i);
  for (; i < k; ++i) rotated[i] = factors ? x[i] * factors[i] : x[i];
  Vec magnitudes = set(0.0f);
  for_each_vector(k, [&](std::size_t j, std::size_t lanes) {
    magnitudes = max_magnitude(magnitudes, load_first(rotated + j, lanes));
  });
  const float top = reduce_max_magnitude(magnitudes);
  const Vec inverse = set(top > 1e-36f ? 127.0f / top : 0.0f);
  constexpr std::size_t kNumbers = T::Layout::kPiece * T::kGroup;
  for (std::size_t begin = 0; begin < words * T::kGroup; begin += kNumbers, out += T::Layout::kStep)
    for (std::size_t j = 0; j < kNumbers; j += kWidth) {
      i = begin + j;
      const Vec v = i + kWidth <= k ? load(rotated + i) : load_first(rotated + i, i < k ? k - i : 0);
      T::store_integers(reinterpret_cast<typename T::Integer*>(out) + j, v * inverse);
    }
  return top * (1.0f / 127.0f);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
