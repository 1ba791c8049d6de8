// Norms of rows: by the mean and then the variance of the differences from it, or by the root of the mean square.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct NormTask {
  const float* gamma;
  const float* beta;  // or null
  float eps;
  std::size_t width;
  const float* residual = nullptr;  // of the first row
};

// out = (x - mean) factor gamma + beta + residual
inline void scale_and_shift(const NormTask& task, const float* x, const float* residual, Vec mean, Vec factor,
                            float* out) {
  for_each_vector(task.width, [&](std::size_t j, std::size_t lanes) {
    const Vec unit = (load_first(x + j, lanes) - mean) * factor;
    const Vec shift = task.beta ? load_first(task.beta + j, lanes) : set(0.0f);
    const Vec normed = fma(unit, load_first(task.gamma + j, lanes), shift);
    store_first(out + j, residual ? normed + load_first(residual + j, lanes) : normed, lanes);
  });
}

// In double: the error of this one number is an error of the whole row.
inline Vec inverse_root(double mean_square, float eps) {
  return set(static_cast<float>(1.0 / __builtin_sqrt(mean_square + eps)));
}

inline void rms_norm_row(const NormTask& task, const float* x, const float* residual, float* out) {
  Vec squares = set(0.0f);
  for_each_vector(task.width, [&](std::size_t j, std::size_t lanes) {
    const Vec v = load_first(x + j, lanes);
    squares = fma(v, v, squares);
  });
  const Vec factor = inverse_root(reduce_add(squares) / static_cast<double>(task.width), task.eps);
  scale_and_shift(task, x, residual, set(0.0f), factor, out);
}

inline void layer_norm_row(const NormTask& task, const float* x, const float* residual, float* out) {
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
  scale_and_shift(task, x, residual, mean, inverse_root(reduce_add(squares) / count, task.eps), out);
}

// x and out may be the same.
inline void norm_rows(filbert_norm_kind kind, const NormTask& task, Strided<const float> x, std::size_t rows,
                      Strided<float> out) {
  const auto of_row = kind == FILBERT_RMS_NORM ? rms_norm_row : layer_norm_row;
  for (std::size_t row = 0; row < rows; ++row)
    of_row(task, x.row(row), task.residual ? task.residual + row * task.width : nullptr, out.row(row));
}

// Rows [begin, end).
inline void norm(const filbert_norm_args& args, std::size_t begin, std::size_t end, Strided<const float> x,
                 Strided<float> out) {
  const auto* residual = static_cast<const float*>(args.residual);
  if (residual) residual += begin * args.width;
  norm_rows(args.kind, {floats_of(args.gamma), floats_of(args.beta), args.eps, args.width, residual}, x, end - begin,
            out);
}

inline void norm_heads(const filbert_head_norm_args& args, std::size_t rows, Strided<float> x) {
  const NormTask task = {floats_of(args.gamma), floats_of(args.beta), args.eps, args.head_size};
  for (std::size_t row = 0; row < rows; ++row) {
    float* const heads = x.row(row) + args.heads.column;
    norm_rows(args.kind, task, {heads, args.head_size}, args.count, {heads, args.head_size});
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
