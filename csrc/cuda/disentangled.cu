// Per sequence and head, out = softmax(scale (q k^T + q position_k^T + k position_q^T)) v, where a query and a key take
// the row of the tables that their distance names. Products are fused multiply-adds in float32, whatever the numbers
// are stored as.
//
// A block of 4 warps has 16 queries of one sequence and head, a warp four of them. Tiles of 32 keys, counted from the
// sequence's first key, pass through shared memory, and with each tile the rows that its keys and the block's queries
// name: at most 47 where no column is missing, so mostly all at once. A lane has one key of the tile while scores are
// computed, and columns lane, lane + 32, ... of the output while values are added; the softmax is kept up from tile to
// tile. Each product is one sum in the order of the head, so that nothing hangs on which rows come together.
#include <cmath>

#include "cuda/attention_probabilities.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4, kPerWarp = 4, kQueries = kWarps * kPerWarp, kKeys = 32;

// C: the head size, padded with zeros, in 32 columns. Rows that lanes read apart are an odd number of words apart.
template <int C>
struct Shared {
  static constexpr int kRows = C <= 4 ? kQueries + kKeys : 16;  // of a table; heads of 256 leave room for fewer
  float q[kQueries][32 * C], k[kKeys][32 * C + 1], v[kKeys][32 * C], rows[kRows][32 * C + 1];
  float weights[kWarps][kPerWarp][kKeys];
};

template <int Rows, int Columns, int Pitch, typename T>
__device__ __forceinline__ void copy(float (&to)[Rows][Pitch], const T* from, std::size_t stride, int rows,
                                     int columns) {
  for (int i = static_cast<int>(threadIdx.x); i < Rows * Columns; i += 32 * kWarps) {
    const int row = i / Columns, column = i % Columns;
    const std::size_t at = static_cast<std::size_t>(row) * stride + static_cast<std::size_t>(column);
    to[row][column] = row < rows && column < columns ? to_float(from[at]) : 0.0f;
  }
}

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
__global__ void __launch_bounds__(32 * kWarps, 2) disentangled_kernel(Disentangled task) {
  auto& shared = *reinterpret_cast<Shared<C>*>(shared_memory());
  const Attention& attention = task.attention;
  const auto [s, head, kv_head, of, first_query] = share(attention, kQueries);
  if (first_query >= of.queries) return;

  const auto warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const auto columns = static_cast<int>(attention.head_size);
  const T* k = head_of<T>(attention.k, of.first_key, kv_head, attention.head_size);
  const T* v = head_of<T>(attention.v, of.first_key, kv_head, attention.head_size);
  copy<kQueries, 32 * C>(shared.q, head_of<T>(attention.q, of.asking(first_query), head, attention.head_size),
                         attention.q.width, of.queries - first_query, columns);

  const int last_query = first_query + kQueries < of.queries ? first_query + kQueries - 1 : of.queries - 1;
  const std::int32_t first_at = attention.batch.columns[of.asking(first_query)];
  const std::int32_t last_at = attention.batch.columns[of.asking(last_query)];
  const std::int32_t* key_columns = attention.batch.columns + of.first_key;

  float (&weights)[kPerWarp][kKeys] = shared.weights[warp];
  float out[kPerWarp][C] = {}, sum[kPerWarp] = {}, top[kPerWarp];
#pragma unroll
  for (int r = 0; r < kPerWarp; ++r) top[r] = -INFINITY;

  for (int begin = 0; begin < of.keys; begin += kKeys) {
    const int keys = of.keys - begin < kKeys ? of.keys - begin : kKeys;
    const auto before = static_cast<std::size_t>(begin);
    sync_block();  // the tile before this one is used up
    copy<kKeys, 32 * C>(shared.k, k + before * attention.k.width, attention.k.width, keys, columns);
    copy<kKeys, 32 * C>(shared.v, v + before * attention.v.width, attention.v.width, keys, columns);
    sync_block();

    float score[kPerWarp] = {};
    for (int d = 0; d < columns; ++d) {
      const float of_key = shared.k[lane][d];
#pragma unroll
      for (int r = 0; r < kPerWarp; ++r) score[r] = fmaf(shared.q[warp * kPerWarp + r][d], of_key, score[r]);
    }

    const int first = row_of(task, key_columns[begin] - last_at);
    const int last = row_of(task, key_columns[begin + keys - 1] - first_at);
    int row[kPerWarp];
#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      const int query = first_query + warp * kPerWarp + r;
      row[r] = -1;
      if (lane < keys && query < of.queries)
        row[r] = row_of(task, key_columns[begin + lane] - attention.batch.columns[of.asking(query)]);
    }
    if (task.position_k.x)
      add_products<C, T>(
          shared, task.position_k, head, columns, first, last, row,
          [&](int r, int d) { return shared.q[warp * kPerWarp + r][d]; }, score);
    if (task.position_q.x)
      add_products<C, T>(
          shared, task.position_q, head, columns, first, last, row, [&](int, int d) { return shared.k[lane][d]; },
          score);

#pragma unroll
    for (int r = 0; r < kPerWarp; ++r) {
      const float mine = lane < keys ? score[r] * attention.scale : -INFINITY;
      float largest = fmaxf(top[r], mine);
#pragma unroll
      for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, shuffle_xor(largest, mask));
      const float shrink = expf(top[r] - largest), weight = expf(mine - largest);
      top[r] = largest;
      sum[r] = sum[r] * shrink + weight;
      weights[r][lane] = weight;
#pragma unroll
      for (int c = 0; c < C; ++c) out[r][c] *= shrink;
    }
    sync_warp();
    for (int key = 0; key < keys; ++key)
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
    T* to = output_of<T>(attention, s, of, query, head);
#pragma unroll
    for (int c = 0; c < C; ++c)
      if (lane + 32 * c < columns) to[lane + 32 * c] = from_float<T>(out[r][c] / total);
  }
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

template <typename T, int C>
cudaError_t start(const Disentangled& task, cudaStream_t stream) {
  return launch(disentangled_kernel<T, C>, attention_grid(task.attention, kQueries), dim3(32 * kWarps),
                sizeof(Shared<C>), stream, task);
}

template <typename T>
cudaError_t start(const Disentangled& task, cudaStream_t stream) {
  const std::size_t size = task.attention.head_size;
  if (size <= 32) return start<T, 1>(task, stream);
  if (size <= 64) return start<T, 2>(task, stream);
  if (size <= 96) return start<T, 3>(task, stream);
  if (size <= 128) return start<T, 4>(task, stream);
  return start<T, 8>(task, stream);
}

}  // namespace

cudaError_t disentangled_attention(Type type, const Disentangled& task, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const cudaError_t error = start<T>(task, stream);
    if (error != cudaSuccess || !task.attention.probabilities) return error;
    return start_probabilities<T, false>(task.attention, PositionTerms<T>{task}, stream);
  });
}

}  // namespace filbert::cuda
