// What one warp of the 16-bit attention kernel does for its queries, with operands in shared memory.
#pragma once

#include "cuda/attention_relative.h"
#include "cuda/tile.h"

namespace filbert::cuda {

inline constexpr int kKeys = 64;   // of a tile
inline constexpr int kGroup = 32;  // queries that see the same tiles, counted from a multiple of it
inline constexpr float kLog2E = 1.44269504f;

// `at`: columns of this lane's queries. `columns`: of the keys of the scores.
template <int M, int J>
__device__ __forceinline__ void relate(const Relation& relation, const int (&at)[M][2], const std::int32_t* columns,
                                       int keys, float scale, float unit, int lane, float (&scores)[M][J][4]) {
#pragma unroll
  for (int j = 0; j < J; ++j)
#pragma unroll
    for (int x = 0; x < 2; ++x) {
      const int key = j * 8 + lane % 4 * 2 + x;
      if (key >= keys) continue;
      const int column = columns[key];
#pragma unroll
      for (int i = 0; i < M; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& score = scores[i][j][half * 2 + x];
          score = relation.apply(score * scale, column - at[i][half], unit);
        }
    }
}

// Scores of 16 keys become weights; their sum, of this lane's.
__device__ __forceinline__ float to_weights(float (&first)[4], float (&second)[4], int half, float unit, float base) {
  float pair[2];
#pragma unroll
  for (int x = 0; x < 2; ++x) {
    float (&of)[4] = x == 0 ? first : second;
    of[half * 2] = exp2_approx(fmaf(of[half * 2], unit, -base));
    of[half * 2 + 1] = exp2_approx(fmaf(of[half * 2 + 1], unit, -base));
    pair[x] = of[half * 2] + of[half * 2 + 1];
  }
  return pair[0] + pair[1];
}

// The accumulators of two times 8 keys are, packed, the operand of the next product for 16 keys.
template <typename T>
__device__ __forceinline__ void pack_weights(std::uint32_t (&a)[4], const float (&first)[4], const float (&second)[4]) {
#pragma unroll
  for (int x = 0; x < 2; ++x) {
    a[x] = pack2<T>(first[x * 2], first[x * 2 + 1]);
    a[x + 2] = pack2<T>(second[x * 2], second[x * 2 + 1]);
  }
}

// What a row is multiplied by, given its lanes' sums of weights.
__device__ __forceinline__ float inverse_of_quad(float sum) {
  sum += shuffle_xor(sum, 1);
  sum += shuffle_xor(sum, 2);
  return sum == 0.0f ? 0.0f : 1.0f / sum;  // 0: it saw no key
}

// A warp has 16 M queries; D is the head size, padded with zeros. Lane i has rows i / 4 and i / 4 + 8 of each 16, and
// of 8 columns 2 (i % 4) and the next one.
template <typename T, int D, int M, bool Relative>
struct WarpAttention {
  static constexpr int kNextRows = 16 * kPitch<D>;
  static constexpr bool kQueriesInRegisters = D <= 128;  // of 256 there would be 64 a thread beside 128 sums

  const T* queries;  // this lane's row for ldmatrix
  std::uint32_t q[kQueriesInRegisters ? M : 1][kQueriesInRegisters ? D / 16 : 1][4];
  float out[M][D / 8][4] = {};
  float top[M][2], sum[M][2] = {};  // of rows, in powers of two; a lane adds its own columns

  __device__ __forceinline__ WarpAttention(const T* query_tile, int warp, int lane)
      : queries(query_tile + (warp * 16 * M + lane % 16) * kPitch<D> + lane / 16 * 8) {
#pragma unroll
    for (int i = 0; i < M; ++i) top[i][0] = top[i][1] = -INFINITY;
  }

  __device__ __forceinline__ void load_queries() {
    if constexpr (kQueriesInRegisters)
#pragma unroll
      for (int i = 0; i < M; ++i)
#pragma unroll
        for (int d = 0; d < D / 16; ++d) ldmatrix_x4(q[i][d], queries + i * kNextRows + d * 16);
  }

  // scores[i][j]: queries 16 i + 0-15, keys 8 j + 0-7. Full: all keys of the tile are the sequence's.
  template <bool Full>
  __device__ __forceinline__ void score(const T* key_tile, int keys, int lane, float (&scores)[M][kKeys / 8][4]) const {
    const T* row = key_tile + (lane % 8 + lane / 16 * 8) * kPitch<D> + lane / 8 % 2 * 8;
#pragma unroll
    for (int d = 0; d < D / 16; ++d) {
      std::uint32_t a[M][4];
#pragma unroll
      for (int i = 0; i < M; ++i) {
        if constexpr (kQueriesInRegisters) {
#pragma unroll
          for (int x = 0; x < 4; ++x) a[i][x] = q[i][d][x];
        } else {
          ldmatrix_x4(a[i], queries + i * kNextRows + d * 16);
        }
      }
#pragma unroll
      for (int j = 0; j < kKeys / 8; j += 2) {
        if (!Full && j * 8 >= keys) continue;
        std::uint32_t pair[4];
        ldmatrix_x4(pair, row + j / 2 * kNextRows + d * 16);
        const std::uint32_t b[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
        for (int i = 0; i < M; ++i) {
          mma_16x8x16<T>(scores[i][j], a[i], b[0]);
          mma_16x8x16<T>(scores[i][j + 1], a[i], b[1]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const bool inside = Full || j * 8 + lane % 4 * 2 + e % 2 < keys;
          if (!inside) scores[i][j][e] = -INFINITY;
        }
  }

  // Scores, times `unit` in powers of two, become weights under the largest so far; what was summed under an earlier
  // one shrinks. A lane's weights are added by 16 keys, and these sums in pairs.
  __device__ __forceinline__ void weigh(float (&scores)[M][kKeys / 8][4], float unit) {
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float largest = -INFINITY;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
          largest = fmaxf(largest, fmaxf(scores[i][j][half * 2], scores[i][j][half * 2 + 1]));
        largest = fmaxf(largest, shuffle_xor(largest, 1));
        largest = fmaxf(largest, shuffle_xor(largest, 2));
        largest = fmaxf(top[i][half], largest * unit);
        const float base = finite_top<Relative>(largest);
        const float shrink = exp2_approx(top[i][half] - base);
        top[i][half] = largest;
        float parts[kKeys / 16];
#pragma unroll
        for (int group = 0; group < kKeys / 16; ++group)
          parts[group] = to_weights(scores[i][group * 2], scores[i][group * 2 + 1], half, unit, base);
        sum[i][half] = fmaf(sum[i][half], shrink, (parts[0] + parts[1]) + (parts[2] + parts[3]));
#pragma unroll
        for (int j = 0; j < D / 8; ++j) {
          out[i][j][half * 2] *= shrink;
          out[i][j][half * 2 + 1] *= shrink;
        }
      }
  }

  template <bool Full>
  __device__ __forceinline__ void add_values(const T* value_tile, int keys, int lane,
                                             const float (&weights)[M][kKeys / 8][4]) {
    const T* row = value_tile + lane % 16 * kPitch<D> + lane / 16 * 8;
#pragma unroll
    for (int key = 0; key < kKeys / 16; ++key) {
      if (!Full && key * 16 >= keys) continue;
      std::uint32_t a[M][4];
#pragma unroll
      for (int i = 0; i < M; ++i) pack_weights<T>(a[i], weights[i][key * 2], weights[i][key * 2 + 1]);
#pragma unroll
      for (int d = 0; d < D / 8; d += 2) {
        std::uint32_t pair[4];
        ldmatrix_x4_trans(pair, row + key * kNextRows + d * 8);
        const std::uint32_t b[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
        for (int i = 0; i < M; ++i) {
          mma_16x8x16<T>(out[i][d], a[i], b[0]);
          mma_16x8x16<T>(out[i][d + 1], a[i], b[1]);
        }
      }
    }
  }

  __device__ __forceinline__ void divide() {
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float inverse = inverse_of_quad(sum[i][half]);
#pragma unroll
        for (int j = 0; j < D / 8; ++j) {
          out[i][j][half * 2] *= inverse;
          out[i][j][half * 2 + 1] *= inverse;
        }
      }
  }
};

}  // namespace filbert::cuda
