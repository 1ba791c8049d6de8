// Norms of rows from anywhere, in float32: out = (v - mean) / sqrt(variance + eps) gamma + beta with the biased
// variance, or v / sqrt(mean of squares + eps) gamma + beta, which is the same with 0 for the mean. It waits for memory
// only, so a row is read once: up to 1024 columns a warp holds it in registers (a block has four such warps, which know
// nothing of each other); wider rows have a block, which reads them three times, from the caches after the first. Lanes
// take 16 bytes of the output's type at a time where rows are multiples of that, otherwise single numbers; which one,
// and so the order of sums, follows from the layout and the type alone.
//
// Rows: from(r) gives what has read<kStep>(column), which starts to read kStep neighbours, and gives what unpacks them
// to float32; to(r) is where row r of the output begins, numbers of Number, which may be where it came from;
// residual(r) is the row to be added, or null.
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
};

// What is done to kStep numbers once mean and variance are known. T: what the residual is stored as.
template <int kStep, typename T>
struct Affine {
  Loaded<kStep, float> scale, shift = {};
  Loaded<kStep, T> more = {};

  __device__ __forceinline__ void load_weights(const RowNorm& norm, int column) {
    scale.load(norm.gamma + column);
    if (norm.beta) shift.load(norm.beta + column);
  }
  __device__ __forceinline__ void load_residual(const T* residual, int column) {
    if (residual) more.load(residual + column);
  }
  __device__ __forceinline__ void store(T* out, bool has_residual, float mean, float inverse,
                                        float (&values)[kStep]) const {
    float by[kStep], plus[kStep];
    scale.unpack(by);
    shift.unpack(plus);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = (values[i] - mean) * inverse * by[i] + plus[i];
    if (has_residual) {
      more.unpack(plus);
#pragma unroll
      for (int i = 0; i < kStep; ++i) values[i] += plus[i];
    }
    store_row(out, values);
  }
};

inline constexpr int kNormWarps = 4;  // each with a row of its own
inline constexpr int kWideNormWarps = 8;
inline constexpr std::size_t kFewRows = 2048;  // all on their way at once, on a hundred multiprocessors

// With kEarly weights and residuals are read at once with the row, weights even before the previous kernel is done: a
// few rows wait for memory once. Many rows are at the rate of memory if registers are few, and find weights in the
// caches.
template <bool kEarly, int kSteps, int kStep, typename Rows>
__device__ __forceinline__ void norm_own_row(const Rows& rows, const RowNorm& norm) {
  using T = typename Rows::Number;
  const std::size_t row = std::size_t{blockIdx.x} * kNormWarps + threadIdx.x / kWarp;
  const int width = static_cast<int>(norm.width);
  const int first = static_cast<int>(threadIdx.x % kWarp) * kStep;
  // Reads are of column 0 where there is none: without a branch, so that all start at once.
  bool is_inside[kSteps];
  Affine<kStep, T> affine[kEarly ? kSteps : 1];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int column = first + i * kWarp * kStep;
    is_inside[i] = column < width;
    if constexpr (kEarly) affine[i].load_weights(norm, is_inside[i] ? column : 0);
  }
  let_next_start();
  wait_for_previous();
  if (row >= norm.rows) return;
  const auto from = rows.from(row);
  decltype(from.template read<kStep>(0)) loaded[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int column = is_inside[i] ? first + i * kWarp * kStep : 0;
    loaded[i] = from.template read<kStep>(column);
    if constexpr (kEarly) affine[i].load_residual(rows.residual(row), column);
  }
  float values[kSteps][kStep];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) loaded[i].unpack(values[i]);
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
    if (!is_inside[i]) continue;
    const int column = first + i * kWarp * kStep;
    Affine<kStep, T>& own = affine[kEarly ? i : 0];
    if constexpr (!kEarly) {
      own.load_weights(norm, column);
      own.load_residual(rows.residual(row), column);
    }
    own.store(rows.to(row) + column, rows.residual(row) != nullptr, mean, inverse, values[i]);
  }
}

// Of float32, where ptxas aims at more blocks than its registers are enough for, four a multiprocessor.
template <int kSteps, int kStep, typename Rows>
__global__ void __launch_bounds__(kNormWarps* kWarp, kStep == 4 ? 4 : 1) norm_by_warps(Rows rows, RowNorm norm) {
  norm_own_row<false, kSteps, kStep>(rows, norm);
}

// Three blocks a multiprocessor: registers for all that is read.
template <int kSteps, int kStep, typename Rows>
__global__ void __launch_bounds__(kNormWarps* kWarp, 3) norm_few_by_warps(Rows rows, RowNorm norm) {
  norm_own_row<true, kSteps, kStep>(rows, norm);
}

template <int kStep, typename Rows>
__global__ void __launch_bounds__(kWideNormWarps* kWarp) norm_by_block(Rows rows, RowNorm norm) {
  let_next_start();
  wait_for_previous();
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
      from.template read<kStep>(column).unpack(values);
#pragma unroll
      for (int j = 0; j < kStep; ++j) sum += values[j];
    }
    mean = block_sum<kWideNormWarps>(sum, scratch) / static_cast<float>(width);
  }
  float squares = 0;
  for (int column = first; column < width; column += kAll) {
    from.template read<kStep>(column).unpack(values);
#pragma unroll
    for (int j = 0; j < kStep; ++j) squares += (values[j] - mean) * (values[j] - mean);
  }
  const float variance = block_sum<kWideNormWarps>(squares, scratch + kWideNormWarps) / static_cast<float>(width);
  const float inverse = 1.0f / sqrtf(variance + norm.eps);
  for (int column = first; column < width; column += kAll) {
    from.template read<kStep>(column).unpack(values);
    Affine<kStep, typename Rows::Number> affine;
    affine.load_weights(norm, column);
    affine.load_residual(rows.residual(row), column);
    affine.store(rows.to(row) + column, rows.residual(row) != nullptr, mean, inverse, values);
  }
}

// Rows of up to kColumns numbers.
template <int kColumns, int kStep, typename Rows>
cudaError_t launch_by_warps(const Rows& rows, const RowNorm& norm, cudaStream_t stream) {
  constexpr int kSteps = kColumns / kWarp / kStep;
  auto kernel = norm_by_warps<kSteps, kStep, Rows>;
  if constexpr (kStep > 1)
    if (norm.rows <= kFewRows) kernel = norm_few_by_warps<kSteps, kStep, Rows>;
  const std::size_t blocks = (norm.rows + kNormWarps - 1) / kNormWarps;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kNormWarps * kWarp), 0, stream, rows, norm);
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
