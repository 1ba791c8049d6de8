// The tiles of the matrix product, for tests that force one. Any tile gives the same bits: each number of the output is
// one chain of sums over k, 16 terms at a time in ascending order, by one instruction (of float32: one term at a time).
#pragma once

#include "cuda/kernels.h"

namespace filbert::cuda {

// How many rows the matrix that is multiplied by has.
inline std::size_t matrix_rows(Type type, const Linear& task) { return task.gated ? gated_rows(type, task.n) : task.n; }

// Rows x columns of the output that a block computes; gated, half as many columns.
enum class GemmTile { t16x16, t32x64, t64x64, t128x128, t128x256 };

inline constexpr GemmTile kGemmTiles[] = {GemmTile::t16x16, GemmTile::t32x64, GemmTile::t64x64, GemmTile::t128x128,
                                          GemmTile::t128x256};

// The fastest by estimate for a product with a matrix of n rows.
GemmTile choose_gemm_tile(std::size_t tokens, std::size_t n, const Chip&);

// For 16-bit types. Where k or a pointer is not a multiple of 16 bytes, another tile may serve.
cudaError_t linear_16bit(Type, GemmTile, const Linear&, cudaStream_t);

// Numbers a thread computes in each dimension; a block of 16 x 16 threads computes 16 times as many.
enum class GemmF32Tile { t2x2, t4x4, t8x8 };

inline constexpr GemmF32Tile kGemmF32Tiles[] = {GemmF32Tile::t2x2, GemmF32Tile::t4x4, GemmF32Tile::t8x8};

GemmF32Tile choose_gemm_f32_tile(std::size_t tokens, std::size_t n, const Chip&);
cudaError_t linear_f32(GemmF32Tile, const Linear&, cudaStream_t);

}  // namespace filbert::cuda
