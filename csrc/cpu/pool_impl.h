// One row of a sequence's rows.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Lanes of the sum of rows `width` apart, in blocks: of a long text's, the error would grow with its length.
inline Vec sum_rows(const float* x, std::size_t rows, std::size_t width, std::size_t lanes) {
  Vec total = set(0.0f);
  for (std::size_t begin = 0; begin < rows; begin += kMaxKBlock) {
    const std::size_t end = begin + kMaxKBlock < rows ? begin + kMaxKBlock : rows;
    Vec sum = load_first(x + begin * width, lanes);
    for (std::size_t row = begin + 1; row < end; ++row) sum = sum + load_first(x + row * width, lanes);
    total = begin == 0 ? sum : total + sum;
  }
  return total;
}

inline void pool(const float* x, std::size_t tokens, std::size_t width, filbert_pooling pooling, bool normalize,
                 float* out) {
  if (pooling == FILBERT_POOL_LAST) x += (tokens - 1) * width;
  const float inverse = 1.0f / static_cast<float>(tokens);
  Vec squares = set(0.0f);
  for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
    Vec v = load_first(x + j, lanes);
    if (pooling == FILBERT_POOL_MEAN) v = sum_rows(x + j, tokens, width, lanes) * set(inverse);
    for (std::size_t t = 1; pooling == FILBERT_POOL_MAX && t < tokens; ++t)
      v = max_number(v, load_first(x + t * width + j, lanes));
    v = keep_first(v, lanes);
    squares = fma(v, v, squares);
    store_first(out + j, v, lanes);
  });
  if (!normalize) return;
  const float length = __builtin_sqrtf(reduce_add(squares));
  const Vec factor = set(1.0f / (length > 1e-12f ? length : 1e-12f));
  for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
    store_first(out + j, load_first(out + j, lanes) * factor, lanes);
  });
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
