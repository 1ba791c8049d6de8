// What each kernel file offers to backend.cu: one function an op, which checks nothing and launches on a stream.
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

// out[t] = norm(word[ids[t]] + type[types[t]] + position[positions[t]]); null tables are left out.
struct EmbedNorm {
  const std::int32_t* ids;
  const std::int32_t* types;
  const std::int32_t* positions;
  const float* word;
  const float* type;
  const float* position;
  const float* gamma;
  const float* beta;
  float eps;
  std::size_t tokens, width;
  void* out;  // [tokens, width]
};
cudaError_t embed_norm(Type, const EmbedNorm&, cudaStream_t);

struct Norm {
  const void* x;  // [tokens, width]
  const float* gamma;
  const float* beta;
  float eps;
  std::size_t tokens, width;
  void* out;
};
cudaError_t norm(Type, const Norm&, cudaStream_t);

// out = activation(x weight^T + bias) + residual
struct Linear {
  const void* x;         // [tokens, k]
  const void* weight;    // [n, k]
  const float* bias;     // [n] or null
  const void* residual;  // [tokens, n] or null
  filbert_activation activation;
  std::size_t tokens, n, k;
  void* out;  // [tokens, n]
};
// What the choice of a tile hangs on.
struct Chip {
  int multiprocessors;
  std::size_t shared_bytes;  // that a block may ask for
};
cudaError_t linear(Type, const Linear&, const Chip&, cudaStream_t);

// Per sequence and head: softmax(scale q k^T + bias) v. The fields are those of filbert_attention_args, and what the
// families to come need: `positions` is read only where there is a window or a bias, and grows within a sequence.
struct Attention {
  const void* qkv;                 // [tokens, 3, heads, head_size]
  const std::int32_t* cu_seqlens;  // [sequences + 1]
  const std::int32_t* key_begin;   // [sequences] or null
  std::size_t sequences, max_length, heads, head_size;
  float scale;
  bool first_only;
  void* out;             // [tokens, heads * head_size]; first_only: [sequences, heads * head_size]
  float* probabilities;  // or null; sequence s at probability_offsets[s]: [heads, length, length], rows of keys
  const std::int64_t* probability_offsets;
  const std::int32_t* positions;  // [tokens]
  std::int32_t window;            // 0, or only keys at most so many positions from the query count
  const float* bias;  // or null: [heads, 2 bias_reach + 1], by the key's position minus the query's, clipped
  std::int32_t bias_reach;
};
cudaError_t attention(Type, const Attention&, cudaStream_t);

// Rotary positions, in place, on queries and keys: of each head the numbers i and i + rotary / 2, i < rotary / 2, turn
// by positions[t] inverse_frequencies[i]; Su et al., arXiv:2104.09864.
struct Rope {
  void* qkv;                         // [tokens, 3, heads, head_size]
  const std::int32_t* positions;     // [tokens]
  const float* inverse_frequencies;  // [rotary / 2]
  std::size_t tokens, heads, head_size, rotary;
};
cudaError_t rope(Type, const Rope&, cudaStream_t);

// Gated units: out = activation(x[:, :width]) x[:, width:]; Shazeer, arXiv:2002.05202.
struct Gate {
  const void* x;  // [tokens, 2 width]
  filbert_activation activation;
  std::size_t tokens, width;
  void* out;  // [tokens, width]
};
cudaError_t gate(Type, const Gate&, cudaStream_t);

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
