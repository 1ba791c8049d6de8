// Parts that families are made of: their tensors, and the ops that they are.
#pragma once

#include <cmath>
#include <string>

#include "engine/encoder.h"

namespace filbert {

// Of an integer that a configuration has, where it cannot be negative.
inline constexpr auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };

struct Norm {
  filbert_norm_kind kind = FILBERT_LAYER_NORM;
  std::size_t width = 0;
  float eps = 0;
  Weight gamma, beta;
  InputNorm names;

  // Of x [tokens, width], plus the residual, to out.
  filbert_token_op operator()(const void* x, void* out, filbert_readers readers = FILBERT_OTHERS,
                              const void* residual = nullptr) const {
    return norm({kind, x, gamma, beta, eps, width, out, residual}, readers);
  }
  // Of each of `count` heads of `width` numbers, in place.
  filbert_token_op of_heads(const filbert_heads& heads, std::size_t count) const {
    return head_norm({kind, heads, count, width, gamma, beta, eps});
  }
};

struct Linear {
  Weight weight, bias;

  // activation(x weight^T + bias) + residual: x [tokens, in] to out.
  filbert_token_op operator()(const void* x, void* out, filbert_readers readers = FILBERT_OTHERS,
                              filbert_activation activation = FILBERT_IDENTITY, const void* residual = nullptr) const {
    return linear({x, weight, bias, residual, activation, out, 0}, readers);
  }
  // The same to heads.
  filbert_token_op to_heads(const void* x, void* out, std::size_t head_size) const {
    return linear({x, weight, bias, nullptr, FILBERT_IDENTITY, out, head_size});
  }
};

inline Norm make_layer_norm(Tensors& tensors, const std::string& name, std::size_t width, float eps,
                            bool has_beta = true, Tensors::Owner owner = Tensors::Owner::base) {
  Norm made = {FILBERT_LAYER_NORM, width, eps, {}, {}, {name + ".weight", has_beta ? name + ".bias" : ""}};
  made.gamma = tensors.vector({{made.names.gamma, width}}, Tensors::Init::ones, owner);
  if (has_beta) made.beta = tensors.vector({{made.names.beta, width}}, Tensors::Init::zeros, owner);
  return made;
}

inline Norm make_rms_norm(Tensors& tensors, const std::string& name, std::size_t width, float eps) {
  Weight gamma = tensors.vector({{name + ".weight", width}}, Tensors::Init::ones);
  return {FILBERT_RMS_NORM, width, eps, std::move(gamma), {}, {name + ".weight", ""}};
}

// The same, where a file has gamma - 1.
inline Norm make_centered_rms_norm(Tensors& tensors, const std::string& name, std::size_t width, float eps) {
  constexpr float kCenter = 1;
  const auto gamma_of = [](std::vector<float> values) {
    for (float& value : values) value += kCenter;
    return values;
  };
  Weight gamma = tensors.computed({name + ".weight", width}, 0, gamma_of, Tensors::Init::zeros);
  return {FILBERT_RMS_NORM, width, eps, std::move(gamma), {}, {name + ".weight", "", kCenter}};
}

inline Tensors::Parts with_suffix(Tensors::Parts parts, const char* suffix) {
  for (Tensors::Part& part : parts) part.name += suffix;
  return parts;
}

// Layers of one input, joined: each [part.rows, in]. input: the names of the norm whose output they multiply, if any.
inline Linear make_linear(Tensors& tensors, const Tensors::Parts& parts, std::size_t in, const InputNorm& input = {},
                          bool has_bias = true, Tensors::Owner owner = Tensors::Owner::base) {
  Linear made;
  made.weight = tensors.matrix(with_suffix(parts, ".weight"), in, input, owner);
  if (has_bias) made.bias = tensors.vector(with_suffix(parts, ".bias"), Tensors::Init::zeros, owner);
  return made;
}

// q, k and v, joined: a part each, or one with as many rows of each. In int8 their columns are balanced for v: what its
// weights are rounded by is the same for all tokens, where attention evens out the errors of each.
inline Linear make_qkv(Tensors& tensors, const Tensors::Parts& parts, std::size_t in, InputNorm input,
                       bool has_bias = true) {
  input.first_row = parts.size() == 1 ? parts[0].rows / 3 * 2 : parts[0].rows + parts[1].rows;
  return make_linear(tensors, parts, in, input, has_bias);
}

// A gated layer: gate and what it multiplies, or one tensor with both.
inline Linear make_gated(Tensors& tensors, const Tensors::Parts& parts, std::size_t in, const InputNorm& input,
                         bool has_bias, Tensors::Gate gate = Tensors::Gate::upper) {
  Linear made;
  made.weight = tensors.gated_matrix(with_suffix(parts, ".weight"), in, input, gate);
  if (has_bias) made.bias = tensors.gated_vector(with_suffix(parts, ".bias"), Tensors::Init::zeros, gate);
  return made;
}

// What follows attention in a layer that norms sums, as BERT's does.
struct PostNormTail {
  Linear attention_out, up, down;
  Norm attention_norm, output_norm;

  // Of x [tokens, hidden] and what attention gave for it, to x; sum [tokens, hidden] and inner [tokens, intermediate]
  // are overwritten.
  void operator()(const Ops& ops, const void* context, void* x, void* sum, void* inner, filbert_activation activation,
                  std::size_t tokens) const {
    ops.token_ops({attention_out(context, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),  // [tokens, hidden]
                   attention_norm(sum, x, FILBERT_NEXT_AND_OTHERS),                       // [tokens, hidden]
                   up(x, inner, FILBERT_NEXT_ALONE, activation),                          // [tokens, intermediate]
                   down(inner, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),             // [tokens, hidden]
                   output_norm(sum, x)},                                                  // [tokens, hidden]
                  tokens);
  }
};

// What follows attention in a layer that norms what each part reads, as LLaMA's does.
struct PreNormTail {
  Linear attention_out;
  Norm mlp_norm;
  Linear up, down;

  // As above; normed [tokens, hidden] is overwritten, too.
  void operator()(const Ops& ops, const void* context, void* x, void* sum, void* normed, void* inner,
                  filbert_activation activation, std::size_t tokens) const {
    ops.token_ops({attention_out(context, sum, FILBERT_NEXT_AND_OTHERS, FILBERT_IDENTITY, x),  // [tokens, hidden]
                   mlp_norm(sum, normed, FILBERT_NEXT_ALONE),                                  // [tokens, hidden]
                   up(normed, inner, FILBERT_NEXT_ALONE, activation),                          // [tokens, intermediate]
                   down(inner, x, FILBERT_OTHERS, FILBERT_IDENTITY, sum)},                     // [tokens, hidden]
                  tokens);
  }
};

// Attention over qkv [tokens, (heads + 2 kv_heads) head_size], where heads of q, k and v lie side by side, to out
// [tokens, heads head_size].
inline filbert_attention_args attention_over(const Batch& batch, void* qkv, std::size_t heads, std::size_t kv_heads,
                                             std::size_t head_size, void* out) {
  const std::size_t q_width = heads * head_size, kv_width = kv_heads * head_size;
  const std::size_t width = q_width + 2 * kv_width;
  filbert_attention_args args = {};
  args.batch = &batch;
  args.q = {qkv, width, 0, batch.tokens};
  args.k = {qkv, width, q_width, batch.tokens};
  args.v = {qkv, width, q_width + kv_width, batch.tokens};
  args.heads = heads;
  args.kv_heads = kv_heads;
  args.head_size = head_size;
  args.scale = 1.0f / std::sqrt(static_cast<float>(head_size));
  args.out = out;
  return args;
}

// Of a model with rotary positions. No table ends: `longest` is how long the texts were that it learned from.
inline InputRules rotary_inputs(std::size_t vocabulary, std::size_t longest) {
  return {.vocabulary = vocabulary,
          .positions = size(config_limits::kPositions),
          .longest = longest,
          .rule = InputRules::Positions::of_tokens};
}

// The sums of what tables say of the batch's tokens; null tables are left out.
inline filbert_embed_args embed_of(const Batch& batch, const Weight& word, const Weight& type, const Weight& position,
                                   std::size_t width, void* out, float word_scale = 1) {
  return {batch.ids, batch.types, batch.positions, word, type, position, width, out, word_scale, batch.word_scales};
}

// The rows that a run wants of one a sequence, as attention and gather take them.
inline filbert_rows rows_op(Rows rows) {
  return rows == Rows::all ? FILBERT_ROWS_ALL : rows == Rows::first ? FILBERT_ROWS_FIRST : FILBERT_ROWS_LAST;
}

// The wanted rows of x [tokens, width], one a sequence, in the arena.
inline void* gather_wanted(const Run& run, const void* x, std::size_t width) {
  void* out = run.arena.activations(run.batch.sequences, width);
  const std::int32_t* rows = run.rows == Rows::first ? run.batch.first : run.batch.last;
  run.ops.gather({x, rows, run.batch.sequences, width, out});
  return out;
}

}  // namespace filbert
