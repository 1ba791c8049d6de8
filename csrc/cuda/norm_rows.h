// Norms of rows from anywhere, in float32: out = (v - mean) / sqrt(variance + eps) gamma + beta with the biased
// variance, or v / sqrt(mean of squares + eps) gamma + beta, which is the same with 0 for the mean. It waits for memory
// only, so a row is read once: up to 1024 columns a warp holds it in registers (a block has four such warps, which know
// nothing of each other); wider rows have a block, which reads them three times, from the caches after the first. Lanes
// take 16 bytes of the output's type at a time where rows are multiples of that, otherwise single numbers; which one,
// and so the order of sums, follows from the layout and the type alone.
//
// Rows: from(r) gives what has load<kStep>(column, values), which reads kStep neighbours in float32; to(r) is where row
// r of the output begins, which may be where it came from; residual(r) is the row to be added, or null.
#pragma once

#include <cmath>

#include "cuda/launch.h"
#include "cuda/row_ops.h"
#include "cuda/rows.h"

namespace filbert::cuda {

struct RowNorm {
  filbert_norm_kind kind;
  const float* gamma;
  const float* beta;  // or null
  float eps;
  std::size_t rows, width;

  template <int kStep, typename T>
  __device__ __forceinline__ void store(T* out, const T* residual, int column, float mean, float inverse,
                                        float (&values)[kStep]) const {
    float scale[kStep], shift[kStep] = {};
    load_row(gamma + column, scale);
    if (beta) load_row(beta + column, shift);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = (values[i] - mean) * inverse * scale[i] + shift[i];
    if (residual) {
      load_row(residual + column, shift);
#pragma unroll
      for (int i = 0; i < kStep; ++i) values[i] += shift[i];
    }
    store_row(out + column, values);
  }
};

inline constexpr int kNormWarps = 4;  // each with a row of its own
inline constexpr int kWideNormWarps = 8;

template <int kSteps, int kStep, typename Rows>
__global__ void __launch_bounds__(kNormWarps* kWarp) norm_by_warps(Rows rows, RowNorm norm) {
  const std::size_t row = std::size_t{blockIdx.x} * kNormWarps + threadIdx.x / kWarp;
  if (row >= norm.rows) return;
  const auto from = rows.from(row);
  const int width = static_cast<int>(norm.width);
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
  const float of_all = warp_sum(sum) / static_cast<float>(width);  // also where it is not used: a branch costs more
  const float mean = norm.kind == FILBERT_LAYER_NORM ? of_all : 0.0f;
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    float part = 0;
#pragma unroll
    for (int j = 0; j < kStep; ++j) part += (values[i][j] - mean) * (values[i][j] - mean);
    squares += is_inside[i] ? part : 0.0f;
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + norm.eps);
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    if (is_inside[i]) norm.store(rows.to(row), rows.residual(row), first + i * kWarp * kStep, mean, inverse, values[i]);
  }
}

template <int kStep, typename Rows>
__global__ void __launch_bounds__(kWideNormWarps* kWarp) norm_by_block(Rows rows, RowNorm norm) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const std::size_t row = blockIdx.x;
  const auto from = rows.from(row);
  const int width = static_cast<int>(norm.width);
  const int first = static_cast<int>(threadIdx.x) * kStep;
  constexpr int kAll = kWideNormWarps * kWarp * kStep;
  float values[kStep];
  float mean = 0;
  if (norm.kind == FILBERT_LAYER_NORM) {
    float sum = 0;
    for (int column = first; column < width; column += kAll) {
      from.load(column, values);
#pragma unroll
      for (int j = 0; j < kStep; ++j) sum += values[j];
    }
    mean = block_sum<kWideNormWarps>(sum, scratch) / static_cast<float>(width);
  }
  float squares = 0;
  for (int column = first; column < width; column += kAll) {
    from.load(column, values);
#pragma unroll
    for (int j = 0; j < kStep; ++j) squares += (values[j] - mean) * (values[j] - mean);
  }
  const float variance = block_sum<kWideNormWarps>(squares, scratch + kWideNormWarps) / static_cast<float>(width);
  const float inverse = 1.0f / sqrtf(variance + norm.eps);
  for (int column = first; column < width; column += kAll) {
    from.load(column, values);
    norm.store(rows.to(row), rows.residual(row), column, mean, inverse, values);
  }
}

// Rows of up to kColumns numbers.
template <int kColumns, int kStep, typename Rows>
cudaError_t launch_by_warps(const Rows& rows, const RowNorm& norm, cudaStream_t stream) {
  const std::size_t blocks = (norm.rows + kNormWarps - 1) / kNormWarps;
  return launch(norm_by_warps<kColumns / kWarp / kStep, kStep, Rows>, dim3(static_cast<unsigned>(blocks)),
                dim3(kNormWarps * kWarp), 0, stream, rows, norm);
}

template <int kStep, typename Rows>
cudaError_t launch_by_block(const Rows& rows, const RowNorm& norm, cudaStream_t stream) {
  return launch(norm_by_block<kStep, Rows>, dim3(static_cast<unsigned>(norm.rows)), dim3(kWideNormWarps * kWarp),
                2 * kWideNormWarps * sizeof(float), stream, rows, norm);
}

template <int kStep, typename Rows>
cudaError_t norm_in_steps(const Rows& rows, const RowNorm& norm, cudaStream_t stream) {
  if (norm.width <= 512) return launch_by_warps<512, kStep>(rows, norm, stream);
  if (norm.width <= 768) return launch_by_warps<768, kStep>(rows, norm, stream);
  if (norm.width <= 1024) return launch_by_warps<1024, kStep>(rows, norm, stream);
  return launch_by_block<kStep>(rows, norm, stream);
}

}  // namespace filbert::cuda
