// The parts of the attention op, and what its kernels share.
#pragma once

#include "cuda/kernels.h"
#include "cuda/ptx.h"

namespace filbert::cuda {

// Queries of a block of the 16-bit kernel. Either gives the same bits: a query's sums depend on its keys alone.
enum class QueryTile { t64, t128 };

// For 16-bit types. Head sizes above 64 have tiles of 64 queries only.
cudaError_t attention_16bit(Type, QueryTile, const Attention&, cudaStream_t);
cudaError_t attention_f32(const Attention&, cudaStream_t);
cudaError_t attention_probabilities(Type, const Attention&, cudaStream_t);

// A sequence's tokens. Keys begin at a token of their own: those before it only ask.
struct Sequence {
  std::size_t first, first_key;  // tokens
  int queries, keys;
};

__device__ __forceinline__ Sequence sequence(const Attention& task, std::size_t s) {
  const std::int32_t first = task.cu_seqlens[s], end = task.cu_seqlens[s + 1];
  const std::int32_t first_key = task.key_begin ? task.key_begin[s] : first;
  const int queries = task.first_only && end > first ? 1 : end - first;
  return {static_cast<std::size_t>(first), static_cast<std::size_t>(first_key), queries, end - first_key};
}

// Where a token's query, key (which = 1) or value (2) of a head begins.
template <typename T>
__device__ __forceinline__ const T* head_of(const Attention& task, std::size_t token, std::size_t which,
                                            std::size_t head) {
  return static_cast<const T*>(task.qkv) + ((token * 3 + which) * task.heads + head) * task.head_size;
}

// Where a query's output of a head begins; `query` counts within sequence s.
template <typename T>
__device__ __forceinline__ T* output_of(const Attention& task, std::size_t s, const Sequence& of, int query,
                                        std::size_t head) {
  const std::size_t row = task.first_only ? s : of.first + static_cast<std::size_t>(query);
  return static_cast<T*>(task.out) + (row * task.heads + head) * task.head_size;
}

// What a block has: `queries` queries, or fewer, of one sequence and head; none if `first_query` is past the last.
struct Share {
  std::size_t s, head;
  Sequence of;
  int first_query;
};

__device__ __forceinline__ Share share(const Attention& task, int queries) {
  const unsigned tiles = gridDim.x / static_cast<unsigned>(task.sequences);
  const std::size_t s = blockIdx.x / tiles;
  return {s, blockIdx.y, sequence(task, s), static_cast<int>(blockIdx.x % tiles) * queries};
}

// Blocks of `queries` queries each for every sequence and head. The blocks of one sequence and head are neighbours, for
// they read the same keys; those past the end of a shorter sequence have nothing to do.
inline dim3 attention_grid(const Attention& task, std::size_t queries) {
  const std::size_t tiles = task.first_only ? 1 : (task.max_length + queries - 1) / queries;
  return {static_cast<unsigned>(task.sequences * tiles), static_cast<unsigned>(task.heads), 1};
}

}  // namespace filbert::cuda
