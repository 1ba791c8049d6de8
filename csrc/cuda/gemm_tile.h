// A block's tile of x W^T for 16-bit types: from global memory through a ring of stages in shared memory, filled by
// cp.async ahead of use, to fragments in registers and from there to the tensor cores.
#pragma once

#include "cuda/tile.h"

namespace filbert::cuda {

// A block of WarpsM x WarpsN warps computes Rows x Columns of the output; a stage holds Depth of k for its rows of both
// matrices; `Resident` blocks share a multiprocessor.
template <int Rows, int Columns, int Depth, int WarpsM, int WarpsN, int Stages, int Resident>
struct GemmShape {
  static constexpr int kRows = Rows, kColumns = Columns, kDepth = Depth, kStages = Stages, kResident = Resident;
  static constexpr int kWarpsN = WarpsN;
  static constexpr int kThreads = 32 * WarpsM * WarpsN;
  static constexpr int kWarpRows = Rows / WarpsM, kWarpColumns = Columns / WarpsN;
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;  // instructions a warp issues for 16 of k
  static constexpr int kStage = (Rows + Columns) * kPitch<Depth>;   // numbers
  static constexpr std::size_t kSharedBytes = std::size_t{2} * kStage * Stages;
  static_assert(kN % 2 == 0 && kSharedBytes >= sizeof(float) * Rows * Columns);
};

template <typename Shape>
struct Accumulators {
  float c[Shape::kM][Shape::kN][4] = {};
};

// What the tensor cores multiply for 16 of k.
template <typename Shape>
struct Fragments {
  std::uint32_t a[Shape::kM][4], b[Shape::kN][2];

  // From this lane's first rows of both matrices in a stage.
  template <typename T>
  __device__ __forceinline__ void load(const T* x, const T* w, int step) {
    constexpr int kNext = 16 * kPitch<Shape::kDepth>;
#pragma unroll
    for (int i = 0; i < Shape::kM; ++i) ldmatrix_x4(a[i], x + i * kNext + step * 16);
#pragma unroll
    for (int j = 0; j < Shape::kN; j += 2) {
      std::uint32_t pair[4];
      ldmatrix_x4(pair, w + j / 2 * kNext + step * 16);
      b[j][0] = pair[0], b[j][1] = pair[1];
      b[j + 1][0] = pair[2], b[j + 1][1] = pair[3];
    }
  }

  template <typename T>
  __device__ __forceinline__ void multiply(Accumulators<Shape>& sums) const {
#pragma unroll
    for (int i = 0; i < Shape::kM; ++i)
#pragma unroll
      for (int j = 0; j < Shape::kN; ++j) mma_16x8x16<T>(sums.c[i][j], a[i], b[j]);
  }
};

// x and w begin at the tile's first row; `rows` and `columns` of them are in the matrices.
template <typename Shape, bool Aligned, typename T>
__device__ __forceinline__ void multiply_tile(const T* x, const T* w, int rows, int columns, std::size_t k,
                                              Accumulators<Shape>& sums) {
  constexpr int kDepth = Shape::kDepth, kStages = Shape::kStages, kSteps = kDepth / 16;
  T* stages = reinterpret_cast<T*>(shared_memory());
  const auto warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  // Lane i gives ldmatrix a row: of x rows 0-15, then the same for 8 more of k; of w eight rows for 16 of k, then eight
  // more, which are the fragments of two instructions.
  const int x_offset = (warp / Shape::kWarpsN * Shape::kWarpRows + lane % 16) * kPitch<kDepth> + lane / 16 * 8;
  const int w_row = Shape::kRows + warp % Shape::kWarpsN * Shape::kWarpColumns + lane % 8 + lane / 16 * 8;
  const int w_offset = w_row * kPitch<kDepth> + lane / 8 % 2 * 8;

  // Past k there is nothing to fill, only a group to count: in the end no copy is under way.
  const auto fill = [&](int slot, std::size_t begin) {
    if (begin < k) {
      const int depth = k - begin < kDepth ? static_cast<int>(k - begin) : kDepth;
      T* to = stages + slot * Shape::kStage;
      copy_tile<Shape::kRows, kDepth, Shape::kThreads>(to, x + begin, k, rows, depth, Aligned);
      copy_tile<Shape::kColumns, kDepth, Shape::kThreads>(to + Shape::kRows * kPitch<kDepth>, w + begin, k, columns,
                                                          depth, Aligned);
    }
    cp_async_commit();
  };
  for (int i = 0; i < kStages - 1; ++i) fill(i, static_cast<std::size_t>(i) * kDepth);

  int slot = 0;
  for (std::size_t begin = 0; begin < k; begin += kDepth) {
    cp_async_wait<kStages - 2>();
    sync_block();  // the stage is there for all, and all are done with the one before it, which is filled next
    const T* stage = stages + slot * Shape::kStage;
    Fragments<Shape> fragments[2];
    fragments[0].load(stage + x_offset, stage + w_offset, 0);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) fragments[(step + 1) % 2].load(stage + x_offset, stage + w_offset, step + 1);
      fragments[step % 2].template multiply<T>(sums);
      if (step == 0) fill(slot == 0 ? kStages - 1 : slot - 1, begin + (kStages - 1) * kDepth);  // under the products
    }
    slot = slot + 1 == kStages ? 0 : slot + 1;
  }
}

}  // namespace filbert::cuda
