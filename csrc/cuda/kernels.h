// What each kernel file offers to ops.cu: one function an op, which checks nothing and launches on a stream. Token
// ops other than linear ones are in row_ops.h.
// Pointers are device memory; activations are rows of numbers of type `Type`; biases, scales and tables are float32.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "filbert/backend.h"

namespace filbert::cuda {

// What activations and matrices are stored in. Sums, norms, softmax and activation functions are in float32.
enum class Type { f32, f16, bf16 };

constexpr std::size_t size_of(Type type) { return type == Type::f32 ? 4 : 2; }

constexpr filbert_dtype dtype_of(Type type) {
  return type == Type::f32 ? FILBERT_F32 : type == Type::f16 ? FILBERT_F16 : FILBERT_BF16;
}

// out = activation(x weight^T + bias) + residual. Gated: activation(x gate^T + gate bias) (x other^T + other bias),
// with the rows of both matrices in the order that `interleave` gives them, and no residual.
struct Linear {
  const void* x;         // [tokens, k]
  const void* weight;    // [n, k], or of gated rows
  const float* bias;     // [n] or null; gated: the gate's [n], then the other's [n]
  const void* residual;  // [tokens, n] or null
  filbert_activation activation;
  std::size_t tokens, n, k;
  void* out;  // [tokens, n]
  bool gated = false;
};
// What the choice of a tile hangs on.
struct Chip {
  int multiprocessors;
  std::size_t shared_bytes;  // that a block may ask for
  bool is_sm90 = false;      // compute capability 9.0, and code for it
};
cudaError_t linear(Type, const Linear&, const Chip&, cudaStream_t);

// How many rows of a gate are together in a gated weight, before as many of what it multiplies: what a thread of the
// matrix product needs to hold both (gemm_epilogue.h, gemm_f32.cu).
constexpr std::size_t gated_step(Type type) { return type == Type::f32 ? 1 : 8; }

// Rows of the weight of `n` gated outputs: the last ones of either are zeros if n is no multiple of the step.
constexpr std::size_t gated_rows(Type type, std::size_t n) {
  return 2 * ((n + gated_step(type) - 1) / gated_step(type) * gated_step(type));
}

struct Interleave {
  const void* x;  // [2, n, k]: the gate, then what it multiplies
  std::size_t n, k;
  void* out;  // [gated_rows, k]
};
cudaError_t interleave(Type, const Interleave&, cudaStream_t);

// Per sequence and head: softmax(scale q k^T + bias) v. The fields are those of filbert_attention_args.
struct Attention {
  filbert_batch batch;
  filbert_heads q, k, v;
  std::size_t heads, kv_heads, head_size;
  float scale;
  bool causal;
  std::int32_t window;  // 0: none
  const float* bias;    // or null
  std::int32_t bias_reach;
  filbert_rows rows;
  void* out;
  float* probabilities;  // or null; of the rows that ask
  const std::int64_t* probability_offsets;
};
cudaError_t attention(Type, const Attention&, cudaStream_t);

// Queries of a tile of the batch: the smallest share of a block where there are many.
constexpr std::size_t query_tile(Type type) { return type == Type::f32 ? 16 : 64; }

// The same with terms for positions. The fields are those of filbert_disentangled_args.
struct Disentangled {
  Attention attention;
  filbert_heads position_k, position_q;  // x null: no such term
  const float* rows;                     // [2 reach + 1]
  std::int32_t reach;
};
cudaError_t disentangled_attention(Type, const Disentangled&, cudaStream_t);

// out[t] = the rows of x of the tokens around t, by their columns. The fields are those of filbert_neighbours_args.
struct Neighbours {
  filbert_batch batch;
  const void* x;
  std::size_t width;
  std::int32_t reach;
  void* out;
};
cudaError_t neighbours(Type, const Neighbours&, cudaStream_t);

// out[i] = x[rows[i]]
struct Gather {
  const void* x;             // [tokens, width]
  const std::int32_t* rows;  // [count]
  std::size_t count, width;
  void* out;  // [count, width]
};
cudaError_t gather(Type, const Gather&, cudaStream_t);

// One row a sequence; of an empty one nothing is written. normalize: v / max(|v|, 1e-12).
struct Pool {
  const void* x;  // [tokens, width]
  const std::int32_t* cu_seqlens;
  std::size_t sequences, width;
  filbert_pooling pooling;
  bool normalize;
  void* out;  // [sequences, width]
};
cudaError_t pool(Type, const Pool&, cudaStream_t);

// out[rows[t]] = x[t] as float32; of a negative row nothing is written.
struct Scatter {
  const void* x;             // [count, width]
  const std::int64_t* rows;  // [count]
  std::size_t count, width;
  float* out;
};
cudaError_t scatter(Type, const Scatter&, cudaStream_t);

// out[i] = x[i], rounded to nearest even. From any type of stored tensors.
cudaError_t convert(filbert_dtype from, const void* x, std::size_t count, Type to, void* out, cudaStream_t);

}  // namespace filbert::cuda
