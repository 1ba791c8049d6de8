// Per sequence and head, out = softmax(scale q k^T + bias) v in bfloat16 or float16, in the manner of FlashAttention-2
// (Dao, arXiv:2307.08691): scores never leave registers, and the softmax is kept up as tiles of keys pass by.
//
// A block of 4 warps has 64 or 128 queries of one sequence and head; a warp has 16 or 32 of them, for all keys. Tiles
// of 64 keys are counted from the sequence's first key, so that a query's sums do not hang on where the sequence lies.
// While one tile of keys and values is used the next one arrives; the queries come beside the first one, in the room of
// the second one, and stay in registers. 32 queries a warp read half as much from shared memory for each product. Head
// sizes are padded with zeros to 32, 64, 96, 128 or 256; of 256 there is room for one tile only: values arrive under
// the scores, and the next keys under the softmax and the second product.
//
// Relative: a block passes over the tiles of keys that none of its queries sees, and so does a warp, but by 32 queries
// from a multiple of 32 on, whether they are its own or not: which tiles a query meets is the same in blocks of either
// size, and where it asks alone.
#include "cuda/attention.h"

#include "cuda/attention_tile.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

template <int D, int M>
struct Room {
  static constexpr int kTiles = D <= 128 ? 2 : 1, kTile = 2 * kKeys * kPitch<D>;  // keys, then values
  static constexpr std::size_t kBytes = std::size_t{2} * (kTiles * kTile + (kTiles == 1 ? 64 * M * kPitch<D> : 0));
  static_assert(64 * M <= 2 * kKeys);  // queries have the room of a tile
};

// Waits for the end of the block behind the first row of a tile, so that registers need not hold it.
template <typename T>
struct Output {
  T* out;
  int queries;
};
static_assert(sizeof(Output<Bf16>) <= sizeof(Bf16) * (kPitch<64> - 64));

template <int D, int M, bool Relative>
constexpr int kBlocks = M == 2    ? (D <= 32 ? 3 - Relative : 2)
                        : D <= 32 ? 4
                        : D <= 64 ? 4 - Relative
                                  : 2;  // on a multiprocessor

// scale: in powers of two. Aligned: all heads begin at multiples of 16 bytes. Wide: those of the output do.
template <typename T, int D, int M, bool Relative>
__global__ void __launch_bounds__(kThreads, kBlocks<D, M, Relative>)
    attention_kernel(Attention task, float scale, bool aligned, bool wide) {
  let_next_start();
  constexpr int kQueries = 64 * M;
  constexpr bool kAhead = Room<D, M>::kTiles == 2;
  const auto [s, head, kv_head, of, first_query] = share(task, kQueries);
  wait_for_previous();
  if (first_query >= of.queries) return;

  const auto warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int queries = of.queries - first_query;
  const bool idle = warp * 16 * M >= queries;  // it still copies
  const auto columns = static_cast<int>(task.head_size);
  T* const room = reinterpret_cast<T*>(shared_memory());
  T* const query_tile = room + Room<D, M>::kTile;
  auto* const output = reinterpret_cast<Output<T>*>(room + D);
  if (threadIdx.x == 0) *output = {output_of<T>(task, s, of, first_query, head), queries};

  KeyRange range = {0, of.keys}, seen = range;  // of the block, of the warp
  int at[M][2];
  if constexpr (Relative) {
    const int row = warp * 16 * M, place = of.place + first_query;
    range = keys_in_sight(task, of, place / kGroup * kGroup, kQueries, kKeys);
    seen = keys_in_sight(task, of, (place + row) / kGroup * kGroup, kGroup, kKeys);
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = row + i * 16 + half * 8 + lane / 4;
        at[i][half] = task.batch.columns[of.asking(first_query + (query < queries ? query : 0))];
      }
  }

  copy_tile<kQueries, D, kThreads>(query_tile, head_of<T>(task.q, of.asking(first_query), head, task.head_size),
                                   task.q.width, queries, columns, aligned);
  const auto copy = [&](T* to, const filbert_heads& heads, int begin) {
    const std::size_t token = of.first_key + static_cast<std::size_t>(begin);
    copy_tile<kKeys, D, kThreads>(to, head_of<T>(heads, token, kv_head, task.head_size), heads.width, of.keys - begin,
                                  columns, aligned);
  };
  copy(room, task.k, range.begin);
  if constexpr (kAhead) copy(room + kKeys * kPitch<D>, task.v, range.begin);
  cp_async_commit();

  const float unit = Relative ? 1.0f : scale;
  WarpAttention<T, D, M, Relative> mine(query_tile, warp, lane);
  for (int begin = range.begin; begin < range.end; begin += kKeys) {
    const int tile = (begin - range.begin) / kKeys % 2;
    T* const key_tile = kAhead ? room + tile * Room<D, M>::kTile : room;
    T* const value_tile = key_tile + kKeys * kPitch<D>;
    T* const next_tile = kAhead ? room + (tile ^ 1) * Room<D, M>::kTile : room;
    const bool first = begin == range.begin, more = begin + kKeys < range.end;
    cp_async_wait<0>();
    sync_block();  // this tile is there; the one before it is used up
    if (first) mine.load_queries();
    if constexpr (kAhead) {
      if (first && more) sync_block();  // all have their queries
      if (more) {
        copy(next_tile, task.k, begin + kKeys);
        copy(next_tile + kKeys * kPitch<D>, task.v, begin + kKeys);
      }
    } else {
      copy(value_tile, task.v, begin);
    }
    cp_async_commit();
    const int keys = of.keys - begin;
    float scores[M][kKeys / 8][4] = {};
    const bool full = keys >= kKeys, blind = idle || (Relative && (begin < seen.begin || begin >= seen.end));
    if (!blind) {
      if (full)
        mine.template score<true>(key_tile, keys, lane, scores);
      else
        mine.template score<false>(key_tile, keys, lane, scores);
      if constexpr (Relative)
        relate(Relation(task, head), at, task.batch.columns + of.first_key + begin, keys, scale, kLog2E, lane, scores);
    }
    if constexpr (!kAhead) {
      cp_async_wait<0>();
      sync_block();  // the values are there; the keys are used up
      if (more) copy(next_tile, task.k, begin + kKeys);
      cp_async_commit();
    }
    if (!blind) {
      mine.weigh(scores, unit);
      if (full)
        mine.template add_values<true>(value_tile, keys, lane, scores);
      else
        mine.template add_values<false>(value_tile, keys, lane, scores);
    }
  }
  cp_async_wait<0>();  // where there was no tile to see
  sync_block();        // there, too, the output is known
  if (idle) return;
  mine.divide();
  T* const first_out = output->out;
  const int rows = output->queries;

#pragma unroll
  for (int i = 0; i < M; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = warp * 16 * M + i * 16 + half * 8 + lane / 4;
      T* const out = first_out + static_cast<std::size_t>(query) * task.heads * task.head_size;
#pragma unroll
      for (int j = 0; j < D / 8; j += 4) {
        if (wide) {
          Words words;
#pragma unroll
          for (int x = 0; x < 4; ++x)
            words.w[x] = pack2<T>(mine.out[i][j + x][half * 2], mine.out[i][j + x][half * 2 + 1]);
          transpose_quad(words.w);
          const int column = (j + lane % 4) * 8;
          if (query < rows && column < columns) *reinterpret_cast<Words*>(out + column) = words;
        } else {
#pragma unroll
          for (int x = 0; x < 8; ++x) {
            const int column = (j + x / 2) * 8 + lane % 4 * 2 + x % 2;
            if (query < rows && column < columns) out[column] = from_float<T>(mine.out[i][j + x / 2][half * 2 + x % 2]);
          }
        }
      }
    }
}

template <typename T, int D, int M, bool Relative>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  const auto whole = [&](const filbert_heads& heads) { return are_aligned<T>(heads, task.head_size); };
  return launch(attention_kernel<T, D, M, Relative>, attention_grid(task, 64 * M), dim3(kThreads), Room<D, M>::kBytes,
                stream, task, task.scale * kLog2E, whole(task.q) && whole(task.k) && whole(task.v),
                whole({task.out, 0, 0, 0}));
}

template <typename T, int D, int M>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  return is_relative(task) ? start<T, D, M, true>(task, stream) : start<T, D, M, false>(task, stream);
}

template <typename T>
cudaError_t start(QueryTile tile, const Attention& task, cudaStream_t stream) {
  const bool large = tile == QueryTile::t128;
  if (task.head_size <= 32) return large ? start<T, 32, 2>(task, stream) : start<T, 32, 1>(task, stream);
  if (task.head_size <= 64) return large ? start<T, 64, 2>(task, stream) : start<T, 64, 1>(task, stream);
  if (task.head_size <= 96) return start<T, 96, 1>(task, stream);
  if (task.head_size <= 128) return start<T, 128, 1>(task, stream);
  return start<T, 256, 1>(task, stream);
}

}  // namespace

cudaError_t attention_16bit(Type type, QueryTile tile, const Attention& task, cudaStream_t stream) {
  const bool few = tile == QueryTile::t16 || tile == QueryTile::t32;
  if (few && task.head_size <= 128) return attention_few(type, tile == QueryTile::t16 ? 16 : 32, task, stream);
  return type == Type::bf16 ? start<Bf16>(tile, task, stream) : start<F16>(tile, task, stream);
}

QueryTile choose_query_tile(const Attention& task) {
  const std::size_t length = task.rows == FILBERT_ROWS_ALL ? task.batch.max_length : 1;
  const auto blocks = [&](std::size_t queries) { return count_attention_blocks(task, queries); };
  constexpr std::size_t kEnough = 256;  // two blocks, or so, on each multiprocessor of a large device
  if (length == 1 || (length <= 32 && blocks(16) <= kEnough)) return QueryTile::t16;
  if (length > 256 && blocks(32) <= kEnough) return QueryTile::t32;
  const bool long_ones = blocks(64) >= 2 * task.heads * task.batch.sequences;  // mostly
  return task.head_size <= 32 && long_ones && blocks(128) >= kEnough ? QueryTile::t128 : QueryTile::t64;
}

cudaError_t attention(Type type, const Attention& task, cudaStream_t stream) {
  const QueryTile tile = type == Type::f32 ? QueryTile::t16 : choose_query_tile(task);
  const Attention tiled = with_useful_tiles(task, static_cast<std::size_t>(tile));
  const cudaError_t error =
      type == Type::f32 ? attention_f32(tiled, stream) : attention_16bit(type, tile, tiled, stream);
  if (error != cudaSuccess || !task.probabilities) return error;
  return attention_probabilities(type, tiled, stream);
}

}  // namespace filbert::cuda
