// What an instruction set implements: leaf kernels over raw pointers, called by backend.cpp with a share of the work.
#pragma once

#include <cstddef>
#include <cstdint>

#include "filbert/backend.h"

namespace filbert::cpu {

// A weight matrix [n, k] in panels of `panel_width` columns of its transpose: panel p is [k, width of p], with n
// rounded up to whole vectors by zeros, so that a kernel reads it front to back.
struct PackedMatrix {
  const float* panels;
  std::size_t n;
  std::size_t k;
};

struct LinearTask {
  const float* x;  // [tokens, k]
  PackedMatrix weight;
  const float* bias;      // [n] or null
  const float* residual;  // [tokens, n] or null
  filbert_activation activation;
  float* out;  // [tokens, n]
};

// Queries [query_begin, query_end) of one head of one sequence, against all its keys.
struct AttentionTask {
  const float* q;  // first query of the task; rows are `stride` apart
  const float* k;  // first key of the sequence
  const float* v;
  std::size_t stride;
  std::size_t queries;
  std::size_t keys;
  std::size_t head_size;
  float scale;
  float* out;  // [queries, head_size], rows `out_stride` apart
  std::size_t out_stride;
  float* probabilities;  // or null: [queries, keys], rows `probability_stride` apart
  std::size_t probability_stride;
  float* scratch;  // attention_scratch(keys, head_size) floats, aligned to 64 bytes
};

struct NormTask {
  const float* gamma;
  const float* beta;
  float eps;
  std::size_t width;
};

struct EmbedTask {
  const std::int32_t* ids;
  const std::int32_t* types;
  const std::int32_t* positions;
  const float* word;
  const float* type;      // or null
  const float* position;  // or null
  NormTask norm;
  float* out;
};

struct Kernels {
  const char* isa;
  std::size_t vector_width;  // floats
  std::size_t panel_width;   // columns, a multiple of vector_width
  // Output rows [row_begin, row_end), panels [panel_begin, panel_end).
  void (*linear)(const LinearTask&, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                 std::size_t panel_end);
  std::size_t (*attention_scratch)(std::size_t keys, std::size_t head_size);
  void (*attention)(const AttentionTask&);
  void (*norm)(const NormTask&, const float* x, std::size_t row_begin, std::size_t row_end, float* out);
  void (*embed_norm)(const EmbedTask&, std::size_t row_begin, std::size_t row_end);
  void (*pool)(const float* x, std::size_t tokens, std::size_t width, filbert_pooling, bool normalize, float* out);
};

const Kernels& scalar_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#elif defined(__aarch64__)
const Kernels& neon_kernels();
#endif

// `static`: each ISA file keeps its own copy, compiled for its instruction set.

// Sums over K longer than this are taken in equal blocks, each from zero: the order of a sum then depends on K alone,
// never on tile, batch or threads, and long sums lose less.
constexpr std::size_t kMaxKBlock = 128;

static inline std::size_t k_block(std::size_t k) {
  const std::size_t blocks = (k + kMaxKBlock - 1) / kMaxKBlock;
  return blocks == 0 ? 1 : (k + blocks - 1) / blocks;
}

static inline std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace filbert::cpu
