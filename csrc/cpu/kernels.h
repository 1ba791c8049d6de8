// What an instruction set implements: leaf kernels over raw pointers, called by backend.cpp with a share of the work.
#pragma once

#include <cstddef>
#include <cstdint>

#include "filbert/backend.h"

namespace filbert::cpu {

// How a matrix product wants its weights [n, k]: panels of `panel_width` columns of the transpose, n rounded up to
// `vector_width`, k to `k_multiple`, both by zeros. Panel p is [k / group, columns of p, group]: the instruction sums
// `group` neighbours along k, so a kernel reads a panel front to back.
struct MatrixFormat {
  std::size_t panel_width;
  std::size_t vector_width;
  std::size_t k_multiple;
  std::size_t group;
  std::int32_t zero_point;  // int8: what activations are offset by to become unsigned
};

struct PackedMatrix {
  const void* panels;  // float, bfloat16 or int8
  std::size_t n;
  std::size_t k;
  const float* scales;          // [n], int8 only: a weight is scales[column] times its integer
  const std::int32_t* offsets;  // [n], int8 only: what the activations' zero point adds to a sum
  const float* factors;         // [k] or null, int8 only: activations are multiplied by them first
};

// Pointers to the first row of a share.
struct LinearTask {
  std::size_t rows;
  const void* operand;  // [rows, k], as LinearKernel::pack made it, or as it came where there is no pack
  PackedMatrix weight;
  const float* bias;      // [n] or null
  const float* residual;  // [rows, n] or null
  filbert_activation activation;
  void* out;        // [rows, n] of floats
  bool out_packed;  // out is an operand instead: the next layer's
};

// Queries of one head of one sequence, against all its keys.
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
  float* scratch;  // attention.scratch(keys, head_size) floats, aligned to 64 bytes
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

struct LinearKernel {
  MatrixFormat format;
  std::size_t share_rows;  // enough to use a weight well while it is near, few enough for activations to stay near
  std::size_t row_grain;   // a share of rows should begin at a multiple of it
  bool packs_results;      // LinearTask::out_packed may be set, if n is a multiple of format.k_multiple
  std::size_t (*operand)(std::size_t rows, std::size_t k);  // floats that it takes
  // Rows [begin, end) of x [rows, k] into their place in the operand, aligned to 64 bytes. Null: x is read as it is.
  void (*pack)(const float* x, std::size_t begin, std::size_t end, std::size_t rows, const PackedMatrix&,
               float* operand);
  std::size_t (*scratch)(std::size_t rows, std::size_t k);  // floats that run needs, aligned to 64 bytes
  void (*run)(const LinearTask&, std::size_t panel_begin, std::size_t panel_end, float* scratch);
};

struct AttentionKernel {
  std::size_t (*scratch)(std::size_t keys, std::size_t head_size);
  void (*run)(const AttentionTask&);
};

struct RowKernels {
  void (*norm)(const NormTask&, const float* x, std::size_t row_begin, std::size_t row_end, float* out);
  void (*embed_norm)(const EmbedTask&, std::size_t row_begin, std::size_t row_end);
  void (*pool)(const float* x, std::size_t tokens, std::size_t width, filbert_pooling, bool normalize, float* out);
};

struct Kernels {
  const char* isa;
  LinearKernel f32, bf16, i8;
  AttentionKernel attention;       // in float32
  AttentionKernel fast_attention;  // in bfloat16 where the processor multiplies it, else in float32
  RowKernels rows;
  bool multiplies_bf16;  // else bfloat16 is widened to float32
};

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
