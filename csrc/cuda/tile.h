// What the kernels around mma_16x8x16 share: how tiles come to shared memory and how accumulators leave registers.
#pragma once

#include "cuda/ptx.h"

namespace filbert::cuda {

// Numbers from one row of a tile in shared memory to the next: an odd multiple of 16 bytes, so that the eight rows of
// a matrix that ldmatrix reads lie in different banks.
template <int Columns>
inline constexpr int kPitch = Columns + 8;

// Brings rows of a matrix, `stride` numbers apart, to a tile [Rows, Columns] in shared memory, by all threads of the
// block. Zeros stand for what is past `rows` and `columns`. Aligned: the rows, the stride and `columns` are multiples
// of 16 bytes; what is copied is there after cp_async_wait and sync_block. Otherwise number by number, and at once.
template <int Rows, int Columns, int Threads, typename T>
__device__ __forceinline__ void copy_tile(T* tile, const T* source, std::size_t stride, int rows, int columns,
                                          bool aligned) {
  constexpr int kInRow = Columns / 8;
  constexpr int kStep = Threads / kInRow;
  static_assert(Columns % 16 == 0 && kStep > 0);
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kInRow * 8;
  const int first = thread / kInRow;
  if (Threads % kInRow != 0 && first >= kStep) return;
  source += static_cast<std::size_t>(first) * stride + static_cast<std::size_t>(column);
  tile += first * kPitch<Columns> + column;
  if (aligned) {
#pragma unroll
    for (int i = 0; i < (Rows + kStep - 1) / kStep; ++i) {
      const int row = first + i * kStep;
      if (Rows % kStep != 0 && row >= Rows) break;
      cp_async_16(tile + i * kStep * kPitch<Columns>, source, row < rows && column < columns);
      source += static_cast<std::size_t>(kStep) * stride;
    }
  } else {
#pragma unroll 1
    for (int row = first; row < Rows; row += kStep) {
#pragma unroll 1
      for (int j = 0; j < 8; ++j) tile[j] = row < rows && column + j < columns ? source[j] : T{};
      tile += kStep * kPitch<Columns>;
      source += static_cast<std::size_t>(kStep) * stride;
    }
  }
}

// The four lanes of a quad hold four words each; word i of lane j becomes word j of lane i. Of accumulators packed in
// pairs, a lane has words of one row from four 8-column tiles, and gets all eight columns of one tile: 16 bytes to
// store.
__device__ __forceinline__ void transpose_quad(std::uint32_t (&w)[4]) {
  const auto lane = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int step = 1; step <= 2; ++step) {
    const bool upper = (lane & step) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i & step) continue;
      const std::uint32_t low = w[i], high = w[i | step];
      const std::uint32_t received = shuffle_xor(upper ? low : high, step);
      w[i] = upper ? received : low;
      w[i | step] = upper ? high : received;
    }
  }
}

}  // namespace filbert::cuda
