// One row of a sequence's rows.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline void pool(const float* x, std::size_t tokens, std::size_t width, filbert_pooling pooling, bool normalize,
                 float* out) {
  if (pooling == FILBERT_POOL_LAST) x += (tokens - 1) * width;
  const float inverse = 1.0f / static_cast<float>(tokens);
  Vec squares = set(0.0f);
  for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
    Vec v = load_first(x + j, lanes);
    if (pooling == FILBERT_POOL_MEAN || pooling == FILBERT_POOL_MAX)
      for (std::size_t t = 1; t < tokens; ++t) {
        const Vec next = load_first(x + t * width + j, lanes);
        v = pooling == FILBERT_POOL_MEAN ? v + next : max(v, next);
      }
    if (pooling == FILBERT_POOL_MEAN) v = v * set(inverse);
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
