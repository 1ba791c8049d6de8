#include "models/deberta_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace filbert {
namespace {

using namespace config_limits;

// The row of the position tables, which begin with what lies furthest before.
std::int64_t row_of(const DebertaSizes& sizes, std::int64_t distance) {
  const std::int64_t span = sizes.span;
  // transformers counts from the key to the query, and clips to [-span, span - 1].
  return span - 1 - std::clamp(sizes.bucket_of(-distance), -span, span - 1);
}

// Beyond it, rows stay the same on both sides.
std::int64_t reach_of(const DebertaSizes& sizes) {
  std::int64_t reach = kPositions;
  const auto is_like_reach = [&](std::int64_t distance) {
    return row_of(sizes, distance) == row_of(sizes, kPositions) &&
           row_of(sizes, -distance) == row_of(sizes, -kPositions);
  };
  for (std::int64_t low = 0; low < reach;) {
    const std::int64_t half = low + (reach - low) / 2;
    if (is_like_reach(half))
      reach = half;
    else
      low = half + 1;
  }
  return reach;
}

// conv.weight [hidden, hidden / groups, kernel] as a matrix [hidden, kernel hidden]: zeros between groups.
std::vector<float> convolution(const DebertaSizes& sizes, const std::vector<float>& weight) {
  const std::size_t hidden = sizes.hidden, width = hidden / sizes.groups;
  std::vector<float> matrix(hidden * sizes.kernel * hidden);
  for (std::size_t row = 0; row < hidden; ++row)
    for (std::size_t i = 0; i < width; ++i)
      for (std::size_t tap = 0; tap < sizes.kernel; ++tap)
        matrix[(row * sizes.kernel + tap) * hidden + row / width * width + i] =
            weight[(row * width + i) * sizes.kernel + tap];
  return matrix;
}

}  // namespace

DebertaEncoder::DebertaEncoder(const DebertaSizes& sizes, MakeProjections make_projections, Tensors& tensors)
    : config_(sizes) {
  using Init = Tensors::Init;
  const std::size_t hidden = sizes.hidden;
  const auto norm = [&](const std::string& name) { return make_layer_norm(tensors, name, hidden, sizes.eps); };
  word_ =
      tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, sizes.embedding, Init::normal_padding_zero);
  if (sizes.has_positions)
    position_ = tensors.table("embeddings.position_embeddings.weight", sizes.positions, sizes.embedding);
  if (sizes.token_types > 0)
    type_ = tensors.table("embeddings.token_type_embeddings.weight", sizes.token_types, sizes.embedding);
  if (sizes.embedding != hidden)
    project_ = make_linear(tensors, {{"embeddings.embed_proj", hidden}}, sizes.embedding, {}, false);
  embedding_norm_ = norm("embeddings.LayerNorm");
  const Activations relative = relative_positions(tensors);
  for (std::size_t i = 0; i < sizes.layers; ++i) {
    const std::string name = "encoder.layer." + std::to_string(i) + ".";
    const Norm& input = i == 0                       ? embedding_norm_
                        : i == 1 && sizes.kernel > 0 ? kernel_norm_
                                                     : layers_.back().tail.output_norm;
    Layer layer = {};
    DebertaProjections projections = make_projections(sizes, tensors, name + "attention.self.", input.names);
    if (sizes.is_disentangled()) project_positions(tensors, projections, relative, layer);
    layer.qkv = std::move(projections.qkv);
    layer.tail.attention_out = make_linear(tensors, {{name + "attention.output.dense", hidden}}, hidden);
    layer.tail.attention_norm = norm(name + "attention.output.LayerNorm");
    layer.tail.up = make_linear(tensors, {{name + "intermediate.dense", sizes.intermediate}}, hidden,
                                layer.tail.attention_norm.names);
    layer.tail.down = make_linear(tensors, {{name + "output.dense", hidden}}, sizes.intermediate);
    layer.tail.output_norm = norm(name + "output.LayerNorm");
    layers_.push_back(std::move(layer));
    if (i > 0 || sizes.kernel == 0) continue;
    kernel_.weight = tensors.computed_matrix(
        "encoder.conv.conv.weight", {hidden, hidden / sizes.groups, sizes.kernel}, sizes.kernel * hidden,
        [&](const std::vector<float>& weight) { return convolution(sizes, weight); });
    kernel_.bias = tensors.vector({{"encoder.conv.conv.bias", hidden}}, Init::zeros);
    kernel_norm_ = norm("encoder.conv.LayerNorm");
  }
  if (!sizes.is_disentangled()) return;
  reach_ = reach_of(sizes);
  rows_ = tensors.numbers([&] {
    std::vector<float> rows;
    for (std::int64_t distance = -reach_; distance <= reach_; ++distance)
      rows.push_back(static_cast<float>(row_of(sizes, distance)));
    return rows;
  });
}

Dimensions DebertaEncoder::dimensions() const {
  InputRules inputs = {.vocabulary = config_.vocabulary,
                       .token_types = config_.token_types,
                       .positions = config_.positions,
                       .longest = config_.positions};
  if (!config_.has_positions) {
    inputs = rotary_inputs(config_.vocabulary, config_.positions);
    inputs.token_types = config_.token_types;
  }
  return {inputs, config_.hidden, config_.layers, config_.heads};
}

void* DebertaEncoder::forward(Run& run) const {
  const auto& [ops, batch, arena, trace, rows] = run;
  const std::size_t hidden = config_.hidden, head_size = hidden / config_.heads;
  void* x = arena.activations(batch.tokens, hidden);
  void* sum = arena.activations(batch.tokens, hidden);
  void* qkv = arena.activations(batch.tokens, 3 * hidden);
  void* context = arena.activations(batch.tokens, hidden);
  void* inner = arena.activations(batch.tokens, config_.intermediate);

  filbert_disentangled_args terms = {};
  terms.attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
  terms.attention.scale = 1.0f / std::sqrt(static_cast<float>(head_size * (1 + config_.terms)));
  terms.rows = rows_;
  terms.reach = size(reach_);

  embed_tokens(run, sum, x);  // [tokens, hidden]
  trace.hidden_state(x);
  const void* around = nullptr;
  if (config_.kernel > 0) around = around_tokens(run, x);  // [tokens, kernel hidden]
  for (const Layer& layer : layers_) {
    const Rows wanted = &layer == &layers_.back() ? rows : Rows::all;
    const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
    terms.attention.rows = rows_op(wanted);
    trace.next_attention(terms.attention);
    ops.token_ops({layer.qkv.to_heads(x, qkv, head_size)}, batch.tokens);  // [tokens, 3 hidden]
    terms.position_k = layer.position_k;
    terms.position_q = layer.position_q;
    config_.is_disentangled() ? ops.disentangled_attention(terms) : ops.attention(terms.attention);  // [tokens, hidden]
    if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
    layer.tail(ops, context, x, sum, inner, config_.activation, tokens);  // [tokens, hidden]
    if (around && &layer == &layers_.front()) {
      if (wanted != Rows::all) around = gather_wanted(run, around, config_.kernel * hidden);
      ops.token_ops({kernel_(around, sum, FILBERT_NEXT_ALONE, config_.kernel_activation, x),  // [tokens, hidden]
                     kernel_norm_(sum, x)},                                                   // [tokens, hidden]
                    tokens);
    }
    trace.attention_done();
    trace.hidden_state(x);
  }
  return x;
}

// The table of relative positions [rows, hidden], what lies furthest before first, or null.
Activations DebertaEncoder::relative_positions(Tensors& tensors) const {
  Weight table;
  Norm norm;
  if (config_.is_relative) table = tensors.table("encoder.rel_embeddings.weight", config_.rows(), config_.hidden);
  if (config_.norms_positions) norm = make_layer_norm(tensors, "encoder.LayerNorm", config_.hidden, config_.eps);
  if (!config_.is_disentangled()) return {};
  return tensors.kept(config_.rows(), config_.hidden, [&](const Ops& ops, void* out) {
    std::vector<std::int32_t> order(config_.rows());
    std::iota(order.rbegin(), order.rend(), 0);
    const Activations ids(ops, ops.alloc(order.size() * sizeof(std::int32_t)));
    ops.upload(ids, order.data(), order.size() * sizeof(std::int32_t));
    const auto* const at = static_cast<const std::int32_t*>(static_cast<void*>(ids));
    const auto rows_to = [&](void* to, filbert_readers readers) {
      return embed({at, at, at, table, nullptr, nullptr, config_.hidden, to, 1, nullptr}, readers);
    };
    if (config_.norms_positions) {
      const Activations rows(ops, ops.alloc(order.size() * config_.hidden * ops.device().activation_bytes));
      ops.token_ops({rows_to(rows, FILBERT_NEXT_ALONE), norm(rows, out)}, order.size());
      ops.sync();  // before the rows are freed
    } else {
      ops.token_ops({rows_to(out, FILBERT_OTHERS)}, order.size());
    }
    ops.sync();
  });
}

void DebertaEncoder::project_positions(Tensors& tensors, const DebertaProjections& by, const Activations& relative,
                                       Layer& layer) const {
  const std::size_t hidden = config_.hidden, head_size = hidden / config_.heads;
  const auto project = [&](const Linear& projection, std::size_t width) -> void* {
    layer.tables.push_back(tensors.kept(config_.rows(), width, [&](const Ops& ops, void* out) {
      ops.token_ops({projection.to_heads(relative, out, head_size)}, config_.rows());
    }));
    return layer.tables.back();
  };
  if (config_.shares_keys) {
    void* const qkv = project(by.qkv, 3 * hidden);  // of v nobody asks
    if (config_.to_position) layer.position_k = {qkv, 3 * hidden, hidden, config_.rows()};
    if (config_.to_content) layer.position_q = {qkv, 3 * hidden, 0, config_.rows()};
  } else {
    if (config_.to_position) layer.position_k = {project(by.position_k, hidden), hidden, 0, config_.rows()};
    if (config_.to_content) layer.position_q = {project(by.position_q, hidden), hidden, 0, config_.rows()};
  }
}

// To x [tokens, hidden].
void DebertaEncoder::embed_tokens(const Run& run, void* sum, void* x) const {
  const Batch& batch = run.batch;
  const auto table_rows = [&](void* out) {
    return embed(embed_of(batch, word_, type_, position_, config_.embedding, out),
                 FILBERT_NEXT_ALONE);  // [tokens, embedding]
  };
  if (config_.embedding == config_.hidden) {
    run.ops.token_ops({table_rows(sum), embedding_norm_(sum, x)}, batch.tokens);
    return;
  }
  void* narrow = run.arena.activations(batch.tokens, config_.embedding);
  run.ops.token_ops({table_rows(narrow), project_(narrow, sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)},
                    batch.tokens);
}

// What the convolution multiplies: [tokens, kernel hidden], in the arena.
void* DebertaEncoder::around_tokens(const Run& run, const void* x) const {
  void* out = run.arena.activations(run.batch.tokens, config_.kernel * config_.hidden);
  run.ops.neighbours({&run.batch, x, config_.hidden, config_.kernel / 2, out});
  return out;
}

}  // namespace filbert
