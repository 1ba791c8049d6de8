// The matrix product by the instructions of sm_90a: products of 64 rows by four warps, and the copy engine. Its numbers
// are the same chains of sums as those of gemm.h, so that both give the same bits.
#pragma once

#include "cuda/gemm.h"

namespace filbert::cuda {

// Rows x columns of the output that a block computes at a time; gated, half as many columns.
enum class Sm90Tile { t64x16, t64x32, t64x64, t128x128, t128x192, t128x256 };

inline constexpr Sm90Tile kSm90Tiles[] = {Sm90Tile::t64x16,   Sm90Tile::t64x32,   Sm90Tile::t64x64,
                                          Sm90Tile::t128x128, Sm90Tile::t128x192, Sm90Tile::t128x256};

// Whether what this file offers was compiled for the current device, an sm_90: it takes 90a, not 90. Asks a kernel.
cudaError_t ask_for_sm90_code(bool& out);

// Whether linear_sm90 can compute it: on an sm_90, with k and pointers that are multiples of 16 bytes and an activation
// that it has.
bool suits_sm90(const Linear&, const Chip&);

// The fastest by estimate for a product with a matrix of n rows.
Sm90Tile choose_sm90_tile(std::size_t tokens, std::size_t n, std::size_t k, const Chip&);

// For 16-bit types.
cudaError_t linear_sm90(Type, Sm90Tile, const Linear&, const Chip&, cudaStream_t);

}  // namespace filbert::cuda
