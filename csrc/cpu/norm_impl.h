// Row-wise kernels: layer normalisation (mean, then variance of the differences), embedding sums, pooling.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline void norm_row(const NormTask& task, const float* x, float* out) {
  const std::size_t n = task.width;
  const double count = static_cast<double>(n);
  Vec sum = set(0.0f);
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) { sum = sum + load_first(x + j, lanes); });
  const Vec mean = set(static_cast<float>(reduce_add(sum) / count));
  Vec squares = set(0.0f);
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    const Vec difference = keep_first(load_first(x + j, lanes) - mean, lanes);
    squares = fma(difference, difference, squares);
  });
  // In double: the error of this one number is an error of the whole row.
  const Vec inverse = set(static_cast<float>(1.0 / __builtin_sqrt(reduce_add(squares) / count + task.eps)));
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    const Vec unit = (load_first(x + j, lanes) - mean) * inverse;
    store_first(out + j, fma(unit, load_first(task.gamma + j, lanes), load_first(task.beta + j, lanes)), lanes);
  });
}

inline void norm(const NormTask& task, const float* x, std::size_t row_begin, std::size_t row_end, float* out) {
  for (std::size_t row = row_begin; row < row_end; ++row) norm_row(task, x + row * task.width, out + row * task.width);
}

inline void embed_norm(const EmbedTask& task, std::size_t row_begin, std::size_t row_end) {
  const std::size_t n = task.norm.width;
  const auto row_of = [n](const float* table, std::int32_t index) {
    return table ? table + static_cast<std::size_t>(index) * n : nullptr;
  };
  for (std::size_t row = row_begin; row < row_end; ++row) {
    float* out = task.out + row * n;
    const float* word = row_of(task.word, task.ids[row]);
    const float* type = row_of(task.type, task.types[row]);
    const float* position = row_of(task.position, task.positions[row]);
    for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
      Vec v = load_first(word + j, lanes);
      if (type) v = v + load_first(type + j, lanes);
      if (position) v = v + load_first(position + j, lanes);
      store_first(out + j, v, lanes);
    });
    norm_row(task.norm, out, out);
  }
}

inline void pool(const float* x, std::size_t tokens, std::size_t width, filbert_pooling pooling, bool normalize,
                 float* out) {
  const float inverse = 1.0f / static_cast<float>(tokens);
  Vec squares = set(0.0f);
  for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
    Vec v = load_first(x + j, lanes);
    if (pooling != FILBERT_POOL_FIRST)
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
