// Per sequence and head, out = softmax(scale (q k^T + q position_k^T + k position_q^T)) v, where a query and a key take
// the row of the tables that their distance names. Products are fused multiply-adds in float32, whatever the numbers
// are stored as; attention_lanes.h says how.
//
// With each tile of keys the rows come that its keys and the block's queries name: at most 47 where no column is
// missing, so mostly all at once. Each product is one sum in the order of the head, so that nothing hangs on which rows
// come together.
#include "cuda/attention_lanes.h"
#include "cuda/attention_probabilities.h"

namespace filbert::cuda {
namespace {

template <int C>
struct Shared {
  static constexpr int kRows = C <= 4 ? kLaneQueries + kLaneKeys : 16;  // heads of 256 leave room for fewer
  LaneTiles<C> tiles;
  float rows[kRows][32 * C + 1];  // of a table; a lane reads one
};

__device__ __forceinline__ int row_of(const Disentangled& task, int distance) {
  const int clipped = distance < -task.reach ? -task.reach : distance > task.reach ? task.reach : distance;
  return static_cast<int>(task.rows[clipped + task.reach]);
}

// To each score the product with the row that it takes, for all rows from `first` to `last`. factor(r, d): what row d
// of query r multiplies.
template <int C, typename T, typename Factor>
__device__ __forceinline__ void add_products(Shared<C>& shared, const filbert_heads& table, std::size_t head,
                                             int columns, int first, int last, const int (&row)[kPerWarp],
                                             const Factor& factor, float (&score)[kPerWarp]) {
  constexpr int kRows = Shared<C>::kRows;
  for (int begin = first; begin <= last; begin += kRows) {
    sync_block();  // the rows before these are used up
    copy<kRows, 32 * C>(shared.rows,
                        head_of<T>(table, static_cast<std::size_t>(begin), head, static_cast<std::size_t>(columns)),
                        table.width, last + 1 - begin, columns);
    sync_block();
    int at[kPerWarp];
    float sum[kPerWarp] = {};
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) at[r] = row[r] < begin || row[r] >= begin + kRows ? 0 : row[r] - begin;
    for (int d = 0; d < columns; ++d)
#pragma unroll
      for (int r = 0; r < kPerWarp; ++r) sum[r] = fmaf(factor(r, d), shared.rows[at[r]][d], sum[r]);
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r)
      if (row[r] == begin + at[r]) score[r] += sum[r];
  }
}

template <typename T, int C>
__global__ void __launch_bounds__(32 * kLaneWarps, 2) disentangled_kernel(Disentangled task) {
  let_next_start();
  auto& shared = *reinterpret_cast<Shared<C>*>(shared_memory());
  LaneTiles<C>& tiles = shared.tiles;
  const Attention& attention = task.attention;
  const auto [s, head, kv_head, of, first_query] = share(attention, kLaneQueries);
  wait_for_previous();
  if (first_query >= of.queries) return;

  const auto columns = static_cast<int>(attention.head_size);
  const T* k = head_of<T>(attention.k, of.first_key, kv_head, attention.head_size);
  const T* v = head_of<T>(attention.v, of.first_key, kv_head, attention.head_size);
  copy<kLaneQueries, 32 * C>(tiles.q, head_of<T>(attention.q, of.asking(first_query), head, attention.head_size),
                             attention.q.width, of.queries - first_query, columns);
  WarpQueries<C> queries(tiles);
  const int lane = queries.lane, first_of_warp = queries.warp * kPerWarp;

  const int last_query = first_query + kLaneQueries < of.queries ? first_query + kLaneQueries - 1 : of.queries - 1;
  const std::int32_t first_at = attention.batch.columns[of.asking(first_query)];
  const std::int32_t last_at = attention.batch.columns[of.asking(last_query)];
  const std::int32_t* key_columns = attention.batch.columns + of.first_key;

  for (int begin = 0; begin < of.keys; begin += kLaneKeys) {
    const int keys = of.keys - begin < kLaneKeys ? of.keys - begin : kLaneKeys;
    const auto before = static_cast<std::size_t>(begin);
    sync_block();  // the tile before this one is used up
    copy<kLaneKeys, 32 * C>(tiles.k, k + before * attention.k.width, attention.k.width, keys, columns);
    copy<kLaneKeys, 32 * C>(tiles.v, v + before * attention.v.width, attention.v.width, keys, columns);
    sync_block();

    float score[kPerWarp] = {};
    queries.multiply(columns, score);
    const int first = row_of(task, key_columns[begin] - last_at);
    const int last = row_of(task, key_columns[begin + keys - 1] - first_at);
    int row[kPerWarp];
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      const int query = first_query + first_of_warp + r;
      row[r] = -1;
      if (lane < keys && query < of.queries)
        row[r] = row_of(task, key_columns[begin + lane] - attention.batch.columns[of.asking(query)]);
    }
    if (task.position_k.x)
      add_products<C, T>(
          shared, task.position_k, head, columns, first, last, row,
          [&](int r, int d) { return tiles.q[first_of_warp + r][d]; }, score);
    if (task.position_q.x)
      add_products<C, T>(
          shared, task.position_q, head, columns, first, last, row, [&](int, int d) { return tiles.k[lane][d]; },
          score);
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r)
      queries.template soften<false>(r, lane < keys ? score[r] * attention.scale : -INFINITY);
    queries.add_values(keys);
  }
  queries.template write<T>(of.queries - first_query, columns,
                            [&, s = s, head = head, of = of, first = first_query](int query) {
                              return output_of<T>(attention, s, of, first + query, head);
                            });
}

// What a score has beside q k^T.
template <typename T>
struct PositionTerms {
  Disentangled task;

  __device__ __forceinline__ float product(const filbert_heads& x, std::size_t token, const filbert_heads& table,
                                           int row, std::size_t head) const {
    if (!table.x) return 0.0f;
    const std::size_t size = task.attention.head_size;
    const T* a = head_of<T>(x, token, head, size);
    const T* b = head_of<T>(table, static_cast<std::size_t>(row), head, size);
    float sum = 0.0f;
    for (std::size_t d = 0; d < size; ++d) sum = fmaf(to_float(a[d]), to_float(b[d]), sum);
    return sum;
  }
  __device__ __forceinline__ float operator()(std::size_t query, std::size_t key, std::size_t head) const {
    const std::int32_t* columns = task.attention.batch.columns;
    const int row = row_of(task, columns[key] - columns[query]);
    return product(task.attention.q, query, task.position_k, row, head) +
           product(task.attention.k, key, task.position_q, row, head);
  }
};

template <typename T>
cudaError_t start(const Disentangled& task, cudaStream_t stream) {
  return with_lane_columns(task.attention.head_size, [&]<int C>() {
    return launch(disentangled_kernel<T, C>, attention_grid(task.attention, kLaneQueries), dim3(32 * kLaneWarps),
                  sizeof(Shared<C>), stream, task);
  });
}

}  // namespace

cudaError_t disentangled_attention(Type type, const Disentangled& given, cudaStream_t stream) {
  Disentangled task = given;
  task.attention = with_useful_tiles(task.attention, kLaneQueries);
  return with_type(type, [&]<typename T>(T*) {
    const cudaError_t error = start<T>(task, stream);
    if (error != cudaSuccess || !task.attention.probabilities) return error;
    return start_probabilities<T, false>(task.attention, PositionTerms<T>{task}, stream);
  });
}

}  // namespace filbert::cuda
