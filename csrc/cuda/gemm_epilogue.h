// From accumulators to the output: bias, activation and residual in float32, then one rounding.
//
// Gated: of the matrix's rows, and so of the accumulators' columns, eight are the gate's and the next eight what it
// multiplies (kernels.h). A thread has the same of each eight, so that every other tile of 8 columns takes the product,
// and the output is half as wide as the matrix.
#pragma once

#include "cuda/activation.h"
#include "cuda/gemm_tile.h"
#include "cuda/kernels.h"

namespace filbert::cuda {

// One function for all but the usual activations would be a large switch for each accumulator. They go through shared
// memory instead, where a loop that is not unrolled can address them; a thread meets only its own. Step: every how many
// tiles of 8 columns.
template <typename Shape, int Step>
__device__ __forceinline__ void activate_in_shared(filbert_activation activation, Accumulators<Shape>& sums) {
  cp_async_wait<0>();
  sync_block();  // the stages are used up
  constexpr int kTiles = Shape::kN / Step, kCount = Shape::kM * kTiles * 4;
  float* own = reinterpret_cast<float*>(shared_memory()) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kCount; ++i) own[i * Shape::kThreads] = sums.c[i / 4 / kTiles][i / 4 % kTiles * Step][i % 4];
#pragma unroll 1
  for (int i = 0; i < kCount; ++i) own[i * Shape::kThreads] = activate(activation, own[i * Shape::kThreads]);
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums.c[i / 4 / kTiles][i / 4 % kTiles * Step][i % 4] = own[i * Shape::kThreads];
}

// `row` and `column` are where the warp's part of the output begins. Wide: n and the pointers are multiples of 16
// bytes.
template <typename Shape, typename T, bool Gated = false>
struct Epilogue {
  static constexpr int kM = Shape::kM, kN = Shape::kN;
  static constexpr int kStep = Gated ? 2 : 1;  // tiles of 8 columns to the next one of the output
  const Linear& task;
  std::size_t row, column;
  int lane = static_cast<int>(threadIdx.x % 32);

  __device__ __forceinline__ void finish(Accumulators<Shape>& sums, bool wide) const {
    if (task.bias) add_bias(sums);
    if (task.activation == FILBERT_GELU_ERF) {
#pragma unroll
      for (int i = 0; i < kM; ++i)
#pragma unroll
        for (int j = 0; j < kN; j += kStep)
#pragma unroll
          for (int e = 0; e < 4; ++e) sums.c[i][j][e] = gelu_erf(sums.c[i][j][e]);
    } else if (task.activation != FILBERT_IDENTITY) {
      activate_in_shared<Shape, kStep>(task.activation, sums);
    }
    if constexpr (Gated) multiply(sums);
    if constexpr (kN / kStep % 4 == 0) {
      if (wide) return store_wide(sums);
    }
    store(sums);
  }

 private:
  __device__ __forceinline__ void multiply(Accumulators<Shape>& sums) const {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; j += 2)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums.c[i][j][e] *= sums.c[i][j + 1][e];
  }

  __device__ __forceinline__ void add_bias(Accumulators<Shape>& sums) const {
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const std::size_t at = column + static_cast<std::size_t>(j / kStep * 8 + lane % 4 * 2 + e);
        const float* of_all = task.bias + static_cast<std::size_t>(j % kStep) * task.n;
        const float bias = at < task.n ? of_all[at] : 0.0f;
#pragma unroll
        for (int i = 0; i < kM; ++i) {
          sums.c[i][j][e] += bias;
          sums.c[i][j][e + 2] += bias;
        }
      }
  }

  // Four columns of instructions at a time: after the transposition each lane has 16 bytes of a row.
  __device__ __forceinline__ void store_wide(Accumulators<Shape>& sums) const {
    const auto* residual = static_cast<const T*>(task.residual);
    auto* out = static_cast<T*>(task.out);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::size_t to = row + static_cast<std::size_t>(i * 16 + half * 8 + lane / 4);
#pragma unroll
        for (int j = 0; j < kN / kStep; j += 4) {
          const std::size_t at = column + static_cast<std::size_t>((j + lane % 4) * 8);
          const bool inside = to < task.tokens && at < task.n;
          const std::size_t offset = to * task.n + at;
          if (!Gated && residual) {
            Words words = {};
            if (inside) words = *reinterpret_cast<const Words*>(residual + offset);
            transpose_quad(words.w);
#pragma unroll
            for (int x = 0; x < 4; ++x) {
              float low, high;
              unpack2<T>(words.w[x], low, high);
              sums.c[i][(j + x) * kStep][half * 2] += low;
              sums.c[i][(j + x) * kStep][half * 2 + 1] += high;
            }
          }
          Words words;
#pragma unroll
          for (int x = 0; x < 4; ++x)
            words.w[x] = pack2<T>(sums.c[i][(j + x) * kStep][half * 2], sums.c[i][(j + x) * kStep][half * 2 + 1]);
          transpose_quad(words.w);
          if (inside) *reinterpret_cast<Words*>(out + offset) = words;
        }
      }
  }

  __device__ __forceinline__ void store(const Accumulators<Shape>& sums) const {
    const auto* residual = static_cast<const T*>(task.residual);
    auto* out = static_cast<T*>(task.out);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN / kStep; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const std::size_t to = row + static_cast<std::size_t>(i * 16 + e / 2 * 8 + lane / 4);
          const std::size_t at = column + static_cast<std::size_t>(j * 8 + lane % 4 * 2 + e % 2);
          if (to >= task.tokens || at >= task.n) continue;
          const std::size_t offset = to * task.n + at;
          const float sum = sums.c[i][j * kStep][e] + (!Gated && residual ? to_float(residual[offset]) : 0.0f);
          out[offset] = from_float<T>(sum);
        }
  }
};

}  // namespace filbert::cuda
