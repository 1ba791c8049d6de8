// Attention by fused multiply-adds in float32: what its kernels have in common, whatever they add to scores.
//
// A block of 4 warps has 16 queries of one sequence and head, a warp four of them. Tiles of 32 keys, counted from the
// sequence's first key, pass through shared memory. A lane has one key of the tile while scores are computed, and
// columns lane, lane + 32, ... of the output while values are added; the softmax is kept up from tile to tile.
#pragma once

#include <cmath>

#include "cuda/attention_relative.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {

constexpr int kLaneWarps = 4, kPerWarp = 4, kLaneQueries = kLaneWarps * kPerWarp, kLaneKeys = 32;

// C: the head size, padded with zeros, in 32 columns. Key rows are an odd number of words apart, for a lane reads one.
template <int C>
struct LaneTiles {
  float q[kLaneQueries][32 * C], k[kLaneKeys][32 * C + 1], v[kLaneKeys][32 * C];
  float weights[kLaneWarps][kPerWarp][kLaneKeys];
};

template <int Rows, int Columns, int Pitch, typename T>
__device__ __forceinline__ void copy(float (&to)[Rows][Pitch], const T* from, std::size_t stride, int rows,
                                     int columns) {
  for (int i = static_cast<int>(threadIdx.x); i < Rows * Columns; i += 32 * kLaneWarps) {
    const int row = i / Columns, column = i % Columns;
    const std::size_t at = static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(column);
    to[row][column] = row < rows && column < columns ? to_float(from[at]) : 0.0f;
  }
}

// A warp's queries: their products with the tile's keys, and what softmax and values have come to.
template <int C>
struct WarpQueries {
  LaneTiles<C>& tiles;
  int warp, lane;
  float out[kPerWarp][C] = {}, sum[kPerWarp] = {}, top[kPerWarp];

  __device__ __forceinline__ explicit WarpQueries(LaneTiles<C>& of)
      : tiles(of), warp(static_cast<int>(threadIdx.x / 32)), lane(static_cast<int>(threadIdx.x % 32)) {
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) top[r] = -INFINITY;
  }

  __device__ __forceinline__ void multiply(int columns, float (&score)[kPerWarp]) const {
    for (int d = 0; d < columns; ++d) {
      const float of_key = tiles.k[lane][d];
#pragma unroll
      for (int r = 0; r < kPerWarp; ++r) score[r] = fmaf(tiles.q[warp * kPerWarp + r][d], of_key, score[r]);
    }
  }

  // The scores of query r: `mine` of the lane's key, minus infinity of one that it does not see, which of all keys may
  // be only where Relative.
  template <bool Relative>
  __device__ __forceinline__ void soften(int r, float mine) {
    float largest = fmaxf(top[r], mine);
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
    const float base = finite_top<Relative>(largest);
    const float shrink = expf(top[r] - base), weight = expf(mine - base);
    top[r] = largest;
    sum[r] = sum[r] * shrink + weight;
    tiles.weights[warp][r][lane] = weight;
#pragma unroll
    for (int c = 0; c < C; ++c) out[r][c] *= shrink;
  }

  __device__ __forceinline__ void add_values(int keys) {
    sync_warp();
    for (int key = 0; key < kLaneKeys && key < keys; ++key)
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const float value = tiles.v[key][lane + 32 * c];
#pragma unroll
        for (int r = 0; r < kPerWarp; ++r) out[r][c] = fmaf(tiles.weights[warp][r][key], value, out[r][c]);
      }
  }

  // row_of(query): where that of the block, counted from 0, is written.
  template <typename T, typename RowOf>
  __device__ __forceinline__ void write(int queries, int columns, const RowOf& row_of) {
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      float total = sum[r];
#pragma unroll
      for (int mask = 16; mask > 0; mask /= 2) total += shuffle_xor(total, mask);
      if (total == 0.0f) total = 1.0f;  // it saw no key
      const int query = warp * kPerWarp + r;
      if (query >= queries) continue;
      T* const row = row_of(query);
#pragma unroll
      for (int c = 0; c < C; ++c)
        if (lane + 32 * c < columns) row[lane + 32 * c] = from_float<T>(out[r][c] / total);
    }
  }
};

// body.operator()<C>() of the fewest columns that a head fits into.
template <typename Body>
cudaError_t with_lane_columns(std::size_t head_size, const Body& body) {
  if (head_size <= 32) return body.template operator()<1>();
  if (head_size <= 64) return body.template operator()<2>();
  if (head_size <= 96) return body.template operator()<3>();
  if (head_size <= 128) return body.template operator()<4>();
  return body.template operator()<8>();
}

}  // namespace filbert::cuda
