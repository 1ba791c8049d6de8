// Per sequence and head, out = softmax(scale q k^T + bias) v in float32, by fused multiply-adds (gemm_f32.cu says why).
//
// A block of 4 warps has 16 queries of one sequence and head, a warp four of them. Tiles of 32 keys, counted from the
// sequence's first key, pass through shared memory. A lane has one key of the tile while scores are computed, and
// columns lane, lane + 32, ... of the output while values are added; the softmax is kept up from tile to tile.
#include <cmath>

#include "cuda/attention_relative.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4, kPerWarp = 4, kQueries = kWarps * kPerWarp, kKeys = 32;

// C: the head size, padded with zeros, in 32 columns. Key rows are an odd number of words apart, for a lane reads one.
template <int C>
struct Shared {
  float q[kQueries][32 * C], k[kKeys][32 * C + 1], v[kKeys][32 * C], weights[kWarps][kPerWarp][kKeys];
};

template <int Rows, int Columns, int Pitch>
__device__ __forceinline__ void copy(float (&to)[Rows][Pitch], const float* from, std::size_t stride, int rows,
                                     int columns) {
  for (int i = static_cast<int>(threadIdx.x); i < Rows * Columns; i += 32 * kWarps) {
    const int row = i / Columns, column = i % Columns;
    const std::size_t at = static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(column);
    to[row][column] = row < rows && column < columns ? from[at] : 0.0f;
  }
}

template <int C, bool Relative>
__global__ void __launch_bounds__(32 * kWarps, 2) attention_f32_kernel(Attention task) {
  auto& shared = *reinterpret_cast<Shared<C>*>(shared_memory());
  const auto [s, head, kv_head, of, first_query] = share(task, kQueries);
  if (first_query >= of.queries) return;

  const auto warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const auto columns = static_cast<int>(task.head_size);
  const float* k = head_of<float>(task.k, of.first_key, kv_head, task.head_size);
  const float* v = head_of<float>(task.v, of.first_key, kv_head, task.head_size);
  copy<kQueries, 32 * C>(shared.q, head_of<float>(task.q, of.asking(first_query), head, task.head_size), task.q.width,
                         of.queries - first_query, columns);

  KeyRange range = {0, of.keys};
  int at[kPerWarp];
  if constexpr (Relative) {
    range = keys_in_sight(task, of, (of.place + first_query) / kQueries * kQueries, kQueries, kKeys);
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      const int query = first_query + warp * kPerWarp + r;
      at[r] = task.batch.columns[of.asking(query < of.queries ? query : first_query)];
    }
  }

  float (&weights)[kPerWarp][kKeys] = shared.weights[warp];
  float out[kPerWarp][C] = {}, sum[kPerWarp] = {}, top[kPerWarp];
#pragma unroll
  for (int r = 0; r < kPerWarp; ++r) top[r] = -INFINITY;

  for (int begin = range.begin; begin < range.end; begin += kKeys) {
    const int keys = of.keys - begin;
    const auto before = static_cast<std::size_t>(begin);
    sync_block();  // the tile before this one is used up
    copy<kKeys, 32 * C>(shared.k, k + before * task.k.width, task.k.width, keys, columns);
    copy<kKeys, 32 * C>(shared.v, v + before * task.v.width, task.v.width, keys, columns);
    sync_block();

    float score[kPerWarp] = {};
    for (int d = 0; d < columns; ++d) {
      const float of_key = shared.k[lane][d];
#pragma unroll
      for (int r = 0; r < kPerWarp; ++r) score[r] = fmaf(shared.q[warp * kPerWarp + r][d], of_key, score[r]);
    }
    int column = 0;
    if constexpr (Relative)
      if (lane < keys) column = task.batch.columns[of.first_key + static_cast<std::size_t>(begin + lane)];
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      float mine = lane < keys ? score[r] * task.scale : -INFINITY;
      if constexpr (Relative)
        if (lane < keys) mine = Relation(task, head).apply(mine, column - at[r], 1.0f);
      float largest = fmaxf(top[r], mine);
#pragma unroll
      for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
      const float base = finite_top<Relative>(largest);
      const float shrink = expf(top[r] - base), weight = expf(mine - base);
      top[r] = largest;
      sum[r] = sum[r] * shrink + weight;
      weights[r][lane] = weight;
#pragma unroll
      for (int c = 0; c < C; ++c) out[r][c] *= shrink;
    }
    sync_warp();
    for (int key = 0; key < kKeys && key < keys; ++key)
#pragma unroll
      for (int c = 0; c < C; ++c) {
        const float value = shared.v[key][lane + 32 * c];
#pragma unroll
        for (int r = 0; r < kPerWarp; ++r) out[r][c] = fmaf(weights[r][key], value, out[r][c]);
      }
  }

#pragma unroll
  for (int r = 0; r < kPerWarp; ++r) {
    float total = sum[r];
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) total += shuffle_xor(total, mask);
    if (total == 0.0f) total = 1.0f;  // it saw no key
    const int query = first_query + warp * kPerWarp + r;
    if (query >= of.queries) continue;
    float* row = output_of<float>(task, s, of, query, head);
#pragma unroll
    for (int c = 0; c < C; ++c)
      if (lane + 32 * c < columns) row[lane + 32 * c] = out[r][c] / total;
  }
}

template <int C>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  return launch(is_relative(task) ? attention_f32_kernel<C, true> : attention_f32_kernel<C, false>,
                attention_grid(task, kQueries), dim3(32 * kWarps), sizeof(Shared<C>), stream, task);
}

}  // namespace

cudaError_t attention_f32(const Attention& task, cudaStream_t stream) {
  if (task.head_size <= 32) return start<1>(task, stream);
  if (task.head_size <= 64) return start<2>(task, stream);
  if (task.head_size <= 96) return start<3>(task, stream);
  if (task.head_size <= 128) return start<4>(task, stream);
  return start<8>(task, stream);
}

}  // namespace filbert::cuda
