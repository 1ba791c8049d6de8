// Row-wise kernels: layer normalisation (mean, then variance of the differences) and the one by the root of the mean
// square, embedding sums, rotary positions, pooling.
#pragma once

#include "cpu/math_impl.h"
#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// out = x factor gamma + beta
inline void scale_and_shift(const NormTask& task, const float* x, Vec mean, Vec factor, float* out) {
  for_each_vector(task.width, [&](std::size_t j, std::size_t lanes) {
    const Vec unit = (load_first(x + j, lanes) - mean) * factor;
    const Vec shift = task.beta ? load_first(task.beta + j, lanes) : set(0.0f);
    store_first(out + j, fma(unit, load_first(task.gamma + j, lanes), shift), lanes);
  });
}

// In double: the error of this one number is an error of the whole row.
inline Vec inverse_root(double mean_square, float eps) {
  return set(static_cast<float>(1.0 / __builtin_sqrt(mean_square + eps)));
}

inline void rms_norm_row(const NormTask& task, const float* x, float* out) {
  Vec squares = set(0.0f);
  for_each_vector(task.width, [&](std::size_t j, std::size_t lanes) {
    const Vec v = load_first(x + j, lanes);
    squares = fma(v, v, squares);
  });
  const Vec factor = inverse_root(reduce_add(squares) / static_cast<double>(task.width), task.eps);
  scale_and_shift(task, x, set(0.0f), factor, out);
}

inline void layer_norm_row(const NormTask& task, const float* x, float* out) {
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
  scale_and_shift(task, x, mean, inverse_root(reduce_add(squares) / count, task.eps), out);
}

inline void norm(const NormTask& task, const float* x, std::size_t rows, float* out) {
  const auto of_row = task.kind == FILBERT_RMS_NORM ? rms_norm_row : layer_norm_row;
  for (std::size_t row = 0; row < rows; ++row) of_row(task, x + row * task.width, out + row * task.width);
}

inline void embed(const EmbedTask& task, std::size_t begin, std::size_t end, float* out) {
  const std::size_t n = task.width;
  const auto row_of = [n](const float* table, std::int32_t index) {
    return table ? table + static_cast<std::size_t>(index) * n : nullptr;
  };
  for (std::size_t row = begin; row < end; ++row, out += n) {
    const float* word = row_of(task.word, task.ids[row]);
    const float* type = row_of(task.type, task.types[row]);
    const float* position = row_of(task.position, task.positions[row]);
    for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
      Vec v = load_first(word + j, lanes);
      if (type) v = v + load_first(type + j, lanes);
      if (position) v = v + load_first(position + j, lanes);
      store_first(out + j, v, lanes);
    });
  }
}

inline void rope(const RopeTask& task, std::size_t rows, std::size_t stride, float* x) {
  for (std::size_t row = 0; row < rows; ++row, x += stride) {
    const Vec position = set(static_cast<float>(task.positions[row]));
    for_each_vector(task.half, [&](std::size_t j, std::size_t lanes) {
      Vec cosine, sine;
      cosine_and_sine(position * load_first(task.frequencies + j, lanes), cosine, sine);
      for (std::size_t head = 0; head < task.heads; ++head) {
        float* const low = x + head * task.head_size + j;
        float* const high = low + task.half;
        const Vec a = load_first(low, lanes);
        const Vec b = load_first(high, lanes);
        store_first(low, fma(a, cosine, set(0.0f) - b * sine), lanes);
        store_first(high, fma(b, cosine, a * sine), lanes);
      }
    });
  }
}

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
