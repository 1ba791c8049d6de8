// out [tokens, n] = activation(x [tokens, k] W^T + bias) + residual, W [n, k], in bfloat16 or float16 with float32
// sums. Gated, a product with both matrices at once that only the epilogue tells from another (gemm_epilogue.h).
//
// A block computes one tile of the output over all of k (no part of k is another block's: the order of sums would hang
// on the split). Large tiles read each operand from L2 fewer times: 128x256 does 85 FLOP for a byte, 64x64 does 32. One
// short sequence is a few rows times a weight matrix that is read once, and wants many small blocks with deep rings
// instead. Which tile computes a number never shows in its bits (gemm.h), so the choice is free.
#include "cuda/gemm.h"

#include <algorithm>

#include "cuda/gemm_epilogue.h"
#include "cuda/gemm_sm90.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

// Rings take 52-55 KB in the small tiles and 80 KB in 128x128, which any device since sm_80 has; 162 KB in 128x256,
// which sm_86 and sm_89 lack.
using Shape16x16 = GemmShape<16, 16, 128, 1, 1, 6, 4>;
using Shape32x64 = GemmShape<32, 64, 64, 2, 2, 4, 2>;
using Shape64x64 = GemmShape<64, 64, 64, 2, 2, 3, 2>;
using Shape128x128 = GemmShape<128, 128, 32, 2, 2, 4, 2>;
using Shape128x256 = GemmShape<128, 256, 64, 2, 4, 3, 1>;

struct Corner {
  std::size_t row, column;
};

// Blocks start in the order of their numbers. Eight tiles of rows go over all columns together, so that those which run
// at a time share rows of both matrices in L2.
template <typename Shape>
__device__ __forceinline__ Corner corner(std::size_t tokens, std::size_t n) {
  constexpr unsigned kBand = 8;
  const auto down = static_cast<unsigned>((tokens + Shape::kRows - 1) / Shape::kRows);
  const auto across = static_cast<unsigned>((n + Shape::kColumns - 1) / Shape::kColumns);
  const unsigned band = blockIdx.x / (kBand * across), inside = blockIdx.x % (kBand * across);
  const unsigned height = down - band * kBand < kBand ? down - band * kBand : kBand;
  return {static_cast<std::size_t>(band * kBand + inside % height) * Shape::kRows,
          static_cast<std::size_t>(inside / height) * Shape::kColumns};
}

// n: rows of the matrix.
template <typename Shape, bool Aligned, bool Gated, typename T>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kResident)
    linear_kernel(Linear task, std::size_t n, bool wide) {
  let_next_start();
  wait_for_previous();
  const Corner at = corner<Shape>(task.tokens, n);
  const std::size_t rows = task.tokens - at.row, columns = n - at.column;
  Accumulators<Shape> sums;
  multiply_tile<Shape, Aligned>(static_cast<const T*>(task.x) + at.row * task.k,
                                static_cast<const T*>(task.weight) + at.column * task.k,
                                rows < Shape::kRows ? static_cast<int>(rows) : Shape::kRows,
                                columns < Shape::kColumns ? static_cast<int>(columns) : Shape::kColumns, task.k, sums);
  const unsigned warp = threadIdx.x / 32;
  const std::size_t column = at.column + warp % Shape::kWarpsN * Shape::kWarpColumns;
  const Epilogue<Shape, T, Gated> epilogue = {task, at.row + warp / Shape::kWarpsN * Shape::kWarpRows,
                                              Gated ? column / 2 : column};
  epilogue.finish(sums, wide);
}

template <typename Shape, bool Aligned, typename T>
cudaError_t start(const Linear& task, cudaStream_t stream) {
  const std::size_t n = matrix_rows(Type::bf16, task);
  const std::size_t down = (task.tokens + Shape::kRows - 1) / Shape::kRows;
  const std::size_t across = (n + Shape::kColumns - 1) / Shape::kColumns;
  const bool wide = task.n % 8 == 0 && is_aligned(task.residual) && is_aligned(task.out);
  const auto kernel = task.gated ? linear_kernel<Shape, Aligned, true, T> : linear_kernel<Shape, Aligned, false, T>;
  return launch(kernel, dim3(static_cast<unsigned>(down * across)), dim3(Shape::kThreads), Shape::kSharedBytes, stream,
                task, n, wide);
}

template <typename T>
cudaError_t start(GemmTile tile, const Linear& task, cudaStream_t stream) {
  if (task.k % 8 != 0 || !is_aligned(task.x) || !is_aligned(task.weight))
    return start<Shape64x64, false, T>(task, stream);
  switch (tile) {
    case GemmTile::t16x16:
      return start<Shape16x16, true, T>(task, stream);
    case GemmTile::t32x64:
      return start<Shape32x64, true, T>(task, stream);
    case GemmTile::t64x64:
      return start<Shape64x64, true, T>(task, stream);
    case GemmTile::t128x128:
      return start<Shape128x128, true, T>(task, stream);
    case GemmTile::t128x256:
      break;
  }
  return start<Shape128x256, true, T>(task, stream);
}

}  // namespace

// The slowest multiprocessor does ceil(blocks / multiprocessors) tiles. For 16 of k a tile takes the longest of what
// the tensor cores need (about 1300 products a cycle), what its operands take from L2 (about 32 bytes a cycle when all
// ask) and, if it is alone there, one instruction's latency of about 40 cycles.
GemmTile choose_gemm_tile(std::size_t tokens, std::size_t n, const Chip& chip) {
  struct Candidate {
    GemmTile tile;
    std::size_t rows, columns, shared_bytes;
  };
  const Candidate candidates[] = {{GemmTile::t128x256, 128, 256, Shape128x256::kSharedBytes},
                                  {GemmTile::t128x128, 128, 128, Shape128x128::kSharedBytes},
                                  {GemmTile::t64x64, 64, 64, Shape64x64::kSharedBytes},
                                  {GemmTile::t32x64, 32, 64, Shape32x64::kSharedBytes},
                                  {GemmTile::t16x16, 16, 16, Shape16x16::kSharedBytes}};
  const auto many = static_cast<std::size_t>(std::max(chip.multiprocessors, 1));
  GemmTile best = GemmTile::t64x64;
  std::size_t least = SIZE_MAX;
  for (const Candidate& c : candidates) {
    if (c.shared_bytes > chip.shared_bytes) continue;
    const std::size_t blocks = (tokens + c.rows - 1) / c.rows * ((n + c.columns - 1) / c.columns);
    const std::size_t cycles = std::max(c.rows * c.columns * 16 / 1300, (c.rows + c.columns) * 32 / 32);
    const std::size_t estimate = std::max<std::size_t>(40, (blocks + many - 1) / many * cycles);
    if (estimate < least) least = estimate, best = c.tile;
  }
  return best;
}

cudaError_t linear_16bit(Type type, GemmTile tile, const Linear& task, cudaStream_t stream) {
  return type == Type::bf16 ? start<Bf16>(tile, task, stream) : start<F16>(tile, task, stream);
}

cudaError_t linear(Type type, const Linear& task, const Chip& chip, cudaStream_t stream) {
  const std::size_t n = matrix_rows(type, task);
  if (type == Type::f32) return linear_f32(choose_gemm_f32_tile(task.tokens, n, chip), task, stream);
  if (suits_sm90(task, chip))
    return linear_sm90(type, choose_sm90_tile(task.tokens, n, task.k, chip), task, chip, stream);
  return linear_16bit(type, choose_gemm_tile(task.tokens, n, chip), task, stream);
}

}  // namespace filbert::cuda
