// Layer norm of rows from anywhere: out = (v - mean) / sqrt(variance + eps) gamma + beta, in float32, with the biased
// variance. It waits for memory only, so a row is read once: up to 1024 columns a warp holds it in registers (a block
// has four such warps, which know nothing of each other); wider rows have a block, which reads them three times, from
// the caches after the first. Lanes take 16 bytes of the output's type at a time where the width is a multiple of
// that, otherwise single numbers; which one, and so the order of sums, follows from width and type alone.
//
// Rows: row(t) gives what has load<kStep>(column, values), which reads kStep neighbours in float32.
#pragma once

#include <cmath>

#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {

template <typename T>
struct NormTo {
  const float* gamma;
  const float* beta;
  float eps;
  std::size_t tokens, width;
  T* out;  // [tokens, width]

  template <int kStep>
  __device__ __forceinline__ void store(std::size_t row, int column, float mean, float inverse,
                                        float (&values)[kStep]) const {
    float scale[kStep], shift[kStep];
    load_row(gamma + column, scale);
    load_row(beta + column, shift);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = (values[i] - mean) * inverse * scale[i] + shift[i];
    store_row(out + row * width + static_cast<std::size_t>(column), values);
  }
};

inline constexpr int kNormWarps = 4;  // each with a row of its own
inline constexpr int kWideNormWarps = 8;

template <int kSteps, int kStep, typename T, typename Rows>
__global__ void __launch_bounds__(kNormWarps* kWarp) norm_by_warps(Rows rows, NormTo<T> to) {
  const std::size_t row = std::size_t{blockIdx.x} * kNormWarps + threadIdx.x / kWarp;
  if (row >= to.tokens) return;
  const auto from = rows.row(row);
  const int width = static_cast<int>(to.width);
  const int first = static_cast<int>(threadIdx.x % kWarp) * kStep;
  float values[kSteps][kStep];
  bool is_inside[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int column = first + i * kWarp * kStep;
    is_inside[i] = column < width;
    from.load(is_inside[i] ? column : 0, values[i]);  // without a branch, so that all reads start at once
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    float part = 0;
#pragma unroll
    for (int j = 0; j < kStep; ++j) part += values[i][j];
    sum += is_inside[i] ? part : 0.0f;
  }
  const float mean = warp_sum(sum) / static_cast<float>(width);
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    float part = 0;
#pragma unroll
    for (int j = 0; j < kStep; ++j) part += (values[i][j] - mean) * (values[i][j] - mean);
    squares += is_inside[i] ? part : 0.0f;
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + to.eps);
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    if (is_inside[i]) to.store(row, first + i * kWarp * kStep, mean, inverse, values[i]);
  }
}

template <int kStep, typename T, typename Rows>
__global__ void __launch_bounds__(kWideNormWarps* kWarp) norm_by_block(Rows rows, NormTo<T> to) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const std::size_t row = blockIdx.x;
  const auto from = rows.row(row);
  const int width = static_cast<int>(to.width);
  const int first = static_cast<int>(threadIdx.x) * kStep;
  constexpr int kAll = kWideNormWarps * kWarp * kStep;
  float values[kStep];
  float sum = 0;
  for (int column = first; column < width; column += kAll) {
    from.load(column, values);
#pragma unroll
    for (int j = 0; j < kStep; ++j) sum += values[j];
  }
  const float mean = block_sum<kWideNormWarps>(sum, scratch) / static_cast<float>(width);
  float squares = 0;
  for (int column = first; column < width; column += kAll) {
    from.load(column, values);
#pragma unroll
    for (int j = 0; j < kStep; ++j) squares += (values[j] - mean) * (values[j] - mean);
  }
  const float variance = block_sum<kWideNormWarps>(squares, scratch + kWideNormWarps) / static_cast<float>(width);
  const float inverse = 1.0f / sqrtf(variance + to.eps);
  for (int column = first; column < width; column += kAll) {
    from.load(column, values);
    to.store(row, column, mean, inverse, values);
  }
}

template <int kStep, typename T, typename Rows>
cudaError_t norm_in_steps(const Rows& rows, const NormTo<T>& to, cudaStream_t stream) {
  const auto by_warps = [&](void (*kernel)(Rows, NormTo<T>)) {
    const std::size_t blocks = (to.tokens + kNormWarps - 1) / kNormWarps;
    return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kNormWarps * kWarp), 0, stream, rows, to);
  };
  if (to.width <= 512) return by_warps(norm_by_warps<16 / kStep, kStep, T, Rows>);
  if (to.width <= 768) return by_warps(norm_by_warps<24 / kStep, kStep, T, Rows>);
  if (to.width <= 1024) return by_warps(norm_by_warps<32 / kStep, kStep, T, Rows>);
  return launch(norm_by_block<kStep, T, Rows>, dim3(static_cast<unsigned>(to.tokens)), dim3(kWideNormWarps * kWarp),
                2 * kWideNormWarps * sizeof(float), stream, rows, to);
}

template <typename T, typename Rows>
cudaError_t norm_rows(const Rows& rows, const NormTo<T>& to, cudaStream_t stream) {
  if (to.width % kVector<T> == 0) return norm_in_steps<kVector<T>>(rows, to, stream);
  return norm_in_steps<1>(rows, to, stream);
}

}  // namespace filbert::cuda
