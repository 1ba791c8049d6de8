// Per sequence and head, out = softmax(scale q k^T + bias) v in float32, by fused multiply-adds (gemm_f32.cu says why);
// attention_lanes.h says how.
#include "cuda/attention_lanes.h"

namespace filbert::cuda {
namespace {

template <int C, bool Relative>
__global__ void __launch_bounds__(32 * kLaneWarps, 2) attention_f32_kernel(Attention task) {
  let_next_start();
  auto& tiles = *reinterpret_cast<LaneTiles<C>*>(shared_memory());
  const auto [s, head, kv_head, of, first_query] = share(task, kLaneQueries);
  wait_for_previous();
  if (first_query >= of.queries) return;

  const auto columns = static_cast<int>(task.head_size);
  const float* k = head_of<float>(task.k, of.first_key, kv_head, task.head_size);
  const float* v = head_of<float>(task.v, of.first_key, kv_head, task.head_size);
  copy<kLaneQueries, 32 * C>(tiles.q, head_of<float>(task.q, of.asking(first_query), head, task.head_size),
                             task.q.width, of.queries - first_query, columns);
  WarpQueries<C> queries(tiles);

  KeyRange range = {0, of.keys};
  int at[kPerWarp];
  if constexpr (Relative) {
    range = keys_in_sight(task, of, (of.place + first_query) / kLaneQueries * kLaneQueries, kLaneQueries, kLaneKeys);
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      const int query = first_query + queries.warp * kPerWarp + r;
      at[r] = task.batch.columns[of.asking(query < of.queries ? query : first_query)];
    }
  }

  for (int begin = range.begin; begin < range.end; begin += kLaneKeys) {
    const int keys = of.keys - begin;
    const auto before = static_cast<std::size_t>(begin);
    sync_block();  // the tile before this one is used up
    copy<kLaneKeys, 32 * C>(tiles.k, k + before * task.k.width, task.k.width, keys, columns);
    copy<kLaneKeys, 32 * C>(tiles.v, v + before * task.v.width, task.v.width, keys, columns);
    sync_block();

    float score[kPerWarp] = {};
    queries.multiply(columns, score);
    int column = 0;
    if constexpr (Relative)
      if (queries.lane < keys)
        column = task.batch.columns[of.first_key + static_cast<std::size_t>(begin + queries.lane)];
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      float mine = queries.lane < keys ? score[r] * task.scale : -INFINITY;
      if constexpr (Relative)
        if (queries.lane < keys) mine = Relation(task, head).apply(mine, column - at[r], 1.0f);
      queries.template soften<Relative>(r, mine);
    }
    queries.add_values(keys);
  }
  queries.template write<float>(of.queries - first_query, columns,
                                [&, s = s, head = head, of = of, first = first_query](int query) {
                                  return output_of<float>(task, s, of, first + query, head);
                                });
}

}  // namespace

cudaError_t attention_f32(const Attention& task, cudaStream_t stream) {
  return with_lane_columns(task.head_size, [&]<int C>() {
    return launch(is_relative(task) ? attention_f32_kernel<C, true> : attention_f32_kernel<C, false>,
                  attention_grid(task, kLaneQueries), dim3(32 * kLaneWarps), sizeof(LaneTiles<C>), stream, task);
  });
}

}  // namespace filbert::cuda
