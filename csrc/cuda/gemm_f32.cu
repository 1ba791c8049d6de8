// out [tokens, n] = activation(x [tokens, k] W^T + bias) + residual, W [n, k], all in float32.
//
// Tensor cores round float32 operands to 10 bits, so this is a product of plain fused multiply-adds, one chain over k
// for each number: the same class of error as the CPU's. A block of 16 x 16 threads computes a tile of 16 M x 16 M, a
// thread M x M of it in registers, from two buffers in shared memory that hold 16 of k with k as the rows, so that a
// thread reads neighbouring numbers at a time. What comes next is on its way in registers meanwhile.
//
// Gated: rows of the gate and of what it multiplies take turns in the matrix (kernels.h), and so do a thread's sums.
#include "cuda/activation.h"
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

constexpr int kSide = 16;  // threads in a dimension; also k in a buffer

// Numbers that a thread reads from shared memory at a time.
template <int Count>
struct alignas(4 * Count) Group {
  float v[Count];
};

// A thread's M numbers of a tile's 16 M are groups of four that are 64 apart, which keeps the banks of a warp's reads
// apart and lets it store whole sectors.
template <int M>
__device__ __forceinline__ constexpr int place(int thread, int i) {
  constexpr int kGroup = M < 4 ? M : 4;
  return i / kGroup * kSide * kGroup + thread * kGroup + i % kGroup;
}

template <int M>
__device__ __forceinline__ void read(const float* row, int thread, float (&values)[M]) {
  constexpr int kGroup = M < 4 ? M : 4;
#pragma unroll
  for (int i = 0; i < M; i += kGroup) {
    const auto group = *reinterpret_cast<const Group<kGroup>*>(row + place<M>(thread, i));
#pragma unroll
    for (int j = 0; j < kGroup; ++j) values[i + j] = group.v[j];
  }
}

// n: rows of the matrix.
template <int M, bool Gated>
__global__ void __launch_bounds__(kSide* kSide) linear_f32_kernel(Linear task, std::size_t n) {
  let_next_start();
  wait_for_previous();
  constexpr int kTile = kSide * M, kPitch = kTile + 4, kBuffer = 2 * kSide * kPitch;
  float* buffers = reinterpret_cast<float*>(shared_memory());
  const auto* x = static_cast<const float*>(task.x);
  const auto* w = static_cast<const float*>(task.weight);
  const int across = static_cast<int>(threadIdx.x % kSide), down = static_cast<int>(threadIdx.x / kSide);
  const std::size_t tiles_across = (n + kTile - 1) / kTile;
  const std::size_t row = blockIdx.x / tiles_across * kTile, column = blockIdx.x % tiles_across * kTile;

  // This thread brings number `across` of k in rows down, down + 16, ... of both tiles.
  float next_x[M], next_w[M];
  const auto fetch = [&](std::size_t begin) {
    const std::size_t at = begin + static_cast<std::size_t>(across);
#pragma unroll
    for (int i = 0; i < M; ++i) {
      const auto r = static_cast<std::size_t>(down + i * kSide);
      next_x[i] = at < task.k && row + r < task.tokens ? x[(row + r) * task.k + at] : 0.0f;
      next_w[i] = at < task.k && column + r < n ? w[(column + r) * task.k + at] : 0.0f;
    }
  };
  const auto keep = [&](float* buffer) {
#pragma unroll
    for (int i = 0; i < M; ++i) {
      buffer[across * kPitch + down + i * kSide] = next_x[i];
      buffer[(kSide + across) * kPitch + down + i * kSide] = next_w[i];
    }
  };

  float sums[M][M] = {};
  fetch(0);
  int which = 0;
  for (std::size_t begin = 0; begin < task.k; begin += kSide) {
    float* buffer = buffers + which * kBuffer;
    keep(buffer);
    sync_block();  // all are done with the other buffer too, which is written next
    if (begin + kSide < task.k) fetch(begin + kSide);
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
      float a[M], b[M];
      read<M>(buffer + i * kPitch, down, a);
      read<M>(buffer + (kSide + i) * kPitch, across, b);
#pragma unroll
      for (int r = 0; r < M; ++r)
#pragma unroll
        for (int c = 0; c < M; ++c) sums[r][c] = fmaf(a[r], b[c], sums[r][c]);
    }
    which ^= 1;
  }

  const auto* residual = static_cast<const float*>(task.residual);
  auto* out = static_cast<float*>(task.out);
  // Sums go through shared memory, one row of all threads at a time, to a loop that holds one copy of the activations.
  float* own = buffers + threadIdx.x;
  sync_block();
#pragma unroll
  for (int r = 0; r < M; ++r) {
#pragma unroll
    for (int c = 0; c < M; ++c) own[c * kSide * kSide] = sums[r][c];
    const std::size_t to = row + static_cast<std::size_t>(place<M>(down, r));
#pragma unroll 1
    for (int c = 0; c < M; c += Gated ? 2 : 1) {
      const std::size_t at = column + static_cast<std::size_t>(place<M>(across, c));
      if (to >= task.tokens || at >= n) continue;
      if constexpr (Gated) {
        const std::size_t output = at / 2;
        const float gate = own[c * kSide * kSide] + (task.bias ? task.bias[output] : 0.0f);
        const float other = own[(c + 1) * kSide * kSide] + (task.bias ? task.bias[task.n + output] : 0.0f);
        out[to * task.n + output] = activate(task.activation, gate) * other;
      } else {
        float sum = own[c * kSide * kSide] + (task.bias ? task.bias[at] : 0.0f);
        sum = activate(task.activation, sum);
        out[to * task.n + at] = residual ? sum + residual[to * task.n + at] : sum;
      }
    }
  }
}

template <int M>
cudaError_t start(const Linear& task, cudaStream_t stream) {
  constexpr std::size_t kTile = kSide * M;
  const std::size_t n = matrix_rows(Type::f32, task);
  const std::size_t blocks = (task.tokens + kTile - 1) / kTile * ((n + kTile - 1) / kTile);
  constexpr std::size_t kSharedBytes = 2 * 2 * kSide * (kTile + 4) * sizeof(float);
  static_assert(kSharedBytes >= kSide * kSide * M * sizeof(float));
  return launch(task.gated ? linear_f32_kernel<M, true> : linear_f32_kernel<M, false>,
                dim3(static_cast<unsigned>(blocks)), dim3(kSide * kSide), kSharedBytes, stream, task, n);
}

}  // namespace

// Large tiles read less from shared memory for a product; small ones are for few rows.
GemmF32Tile choose_gemm_f32_tile(std::size_t tokens, std::size_t n, const Chip& chip) {
  const auto fills = [&](std::size_t tile) {
    return (tokens + tile - 1) / tile * ((n + tile - 1) / tile) >= static_cast<std::size_t>(chip.multiprocessors);
  };
  return fills(128) ? GemmF32Tile::t8x8 : fills(64) ? GemmF32Tile::t4x4 : GemmF32Tile::t2x2;
}

cudaError_t linear_f32(GemmF32Tile tile, const Linear& task, cudaStream_t stream) {
  switch (tile) {
    case GemmF32Tile::t2x2:
      return start<2>(task, stream);
    case GemmF32Tile::t4x4:
      return start<4>(task, stream);
    case GemmF32Tile::t8x8:
      break;
  }
  return start<8>(task, stream);
}

}  // namespace filbert::cuda
