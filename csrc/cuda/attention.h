// The parts of the attention op, and what its kernels share.
#pragma once

#include "cuda/heads.h"

namespace filbert::cuda {

// Queries of a block of the 16-bit kernels: of attention_few.cu, where heads are not above 128, or of attention.cu,
// where blocks of 128 are for heads of at most 64. All give the same bits: a query's sums depend on its keys alone.
enum class QueryTile { t16 = 16, t32 = 32, t64 = 64, t128 = 128 };

QueryTile choose_query_tile(const Attention&);
// For 16-bit types. A tile that there is not for the head size stands for one of 64.
cudaError_t attention_16bit(Type, QueryTile, const Attention&, cudaStream_t);
cudaError_t attention_few(Type, int queries, const Attention&, cudaStream_t);
cudaError_t attention_f32(const Attention&, cudaStream_t);
cudaError_t attention_probabilities(Type, const Attention&, cudaStream_t);

// A sequence's tokens. Keys begin and end at tokens of their own: the others are query-only. `queries` tokens ask, from
// the one whose place in the sequence is `place` on.
struct Sequence {
  std::size_t first, first_key;  // tokens
  int place, queries, keys, length;

  // The token of a query, counted from the first one that asks.
  __device__ __forceinline__ std::size_t asking(int query) const {
    return first + static_cast<std::size_t>(place + query);
  }
};

__device__ __forceinline__ Sequence sequence(const Attention& task, std::size_t s) {
  const std::int32_t first = task.batch.cu_seqlens[s], end = task.batch.cu_seqlens[s + 1];
  const std::int32_t first_key = task.batch.key_begin ? task.batch.key_begin[s] : first;
  const std::int32_t end_key = task.batch.key_end ? task.batch.key_end[s] : end;
  const int length = end - first;
  return {static_cast<unsigned>(first),
          static_cast<unsigned>(first_key),
          task.rows == FILBERT_ROWS_LAST && length > 0 ? length - 1 : 0,
          task.rows != FILBERT_ROWS_ALL && length > 0 ? 1 : length,
          end_key - first_key,
          length};
}

// Where a query's output of a head begins.
template <typename T>
__device__ __forceinline__ T* output_of(const Attention& task, std::size_t s, const Sequence& of, int query,
                                        std::size_t head) {
  const std::size_t row = task.rows == FILBERT_ROWS_ALL ? of.first + static_cast<std::size_t>(query) : s;
  return static_cast<T*>(task.out) + (row * task.heads + head) * task.head_size;
}

// Tiles are of all queries: of one a sequence there is nothing to save.
__host__ __device__ __forceinline__ bool has_tiles(const Attention& task) {
  return task.batch.tiles.list && task.rows == FILBERT_ROWS_ALL;
}

// Which tokens a sequence has, and which tiles there are, is uploaded before each pass: it may be read before
// wait_for_previous.
//
// What a block has: `queries` queries, or fewer, of one sequence and head, whose keys and values are those of a head of
// their own; none if `first_query` is past the last.
struct Share {
  std::size_t s, head, kv_head;
  Sequence of;
  int first_query;
};

__device__ __forceinline__ Share share(const Attention& task, int queries) {
  const unsigned blocks = gridDim.x / static_cast<unsigned>(task.heads), head = blockIdx.x / blocks;
  const unsigned kv_head = task.kv_heads == task.heads
                               ? head
                               : head * static_cast<unsigned>(task.kv_heads) / static_cast<unsigned>(task.heads);
  std::size_t s = blockIdx.z * std::size_t{gridDim.y} + blockIdx.y;
  int first_query = static_cast<int>(blockIdx.x % blocks) * queries;
  if (has_tiles(task)) {
    const bool past = s >= task.batch.tiles.count;
    const filbert_query_tile tile = task.batch.tiles.list[past ? 0 : s];
    const bool taken = tile.first_query % queries != 0;  // by the block that has the tile before it
    s = past || taken ? task.batch.sequences : static_cast<unsigned>(tile.sequence);
    first_query += tile.first_query;
  }
  const bool past = s >= task.batch.sequences;
  Sequence of = sequence(task, past ? 0 : s);
  if (past) of.queries = 0;
  return {s, head, kv_head, of, first_query};
}

// Of each head: `blocks` for each of so many tiles or sequences.
struct AttentionBlocks {
  std::size_t rows, blocks;
};

// Blocks of `queries` queries each for every tile or, where there are none, for every sequence as many as the longest
// one has.
inline AttentionBlocks attention_blocks(const Attention& task, std::size_t queries) {
  const auto blocks_for = [&](std::size_t count) { return (count + queries - 1) / queries; };
  if (has_tiles(task)) return {task.batch.tiles.count, blocks_for(task.batch.tiles.queries)};
  return {task.batch.sequences, task.rows == FILBERT_ROWS_ALL ? blocks_for(task.batch.max_length) : 1};
}

inline std::size_t count_attention_blocks(const Attention& task, std::size_t queries) {
  const auto [rows, blocks] = attention_blocks(task, queries);
  return task.heads * rows * blocks;
}

// Without tiles unless they save blocks enough: each reads its tile before it knows its sequence, which takes longer
// than some blocks that have nothing to do.
inline Attention with_useful_tiles(const Attention& task, std::size_t queries) {
  constexpr std::size_t kEnough = 1024;  // of which a large device starts all at once
  Attention plain = task;
  plain.batch.tiles = {};
  const bool useful = count_attention_blocks(plain, queries) >= count_attention_blocks(task, queries) + kEnough;
  return useful ? task : plain;
}

// Those of one head of a tile or sequence are neighbours, for they read the same keys, and so are its heads, which lie
// side by side in memory; those past the end of a shorter sequence have nothing to do.
inline dim3 attention_grid(const Attention& task, std::size_t queries) {
  constexpr std::size_t kMostInY = 65535;
  const auto [rows, blocks] = attention_blocks(task, queries);
  const std::size_t z = (rows + kMostInY - 1) / kMostInY;
  return {static_cast<unsigned>(task.heads * blocks), static_cast<unsigned>(z > 0 ? (rows + z - 1) / z : 0),
          static_cast<unsigned>(z)};
}

}  // namespace filbert::cuda
