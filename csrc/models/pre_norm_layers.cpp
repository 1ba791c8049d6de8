#include "models/pre_norm_layers.h"

#include <utility>

namespace filbert {

PreNormLayers::PreNormLayers(const BertSize& sizes, const PreNormNames& names, Tensors& tensors, Weight frequencies)
    : hidden_(sizes.hidden),
      heads_(sizes.heads),
      intermediate_(sizes.intermediate),
      activation_(sizes.activation),
      frequencies_(std::move(frequencies)) {
  const auto make_norm = [&](const std::string& name) { return make_layer_norm(tensors, name, hidden_, sizes.eps); };
  for (std::size_t i = 0; i < sizes.layers; ++i) {
    const std::string name = "encoder.layer." + std::to_string(i) + ".", self = name + "attention.self.";
    Layer layer;
    layer.attention_norm = make_norm(name + names.attention);
    layer.qkv = make_qkv(tensors, {{self + "query", hidden_}, {self + "key", hidden_}, {self + "value", hidden_}},
                         hidden_, layer.attention_norm.names);
    layer.tail.attention_out = make_linear(tensors, {{name + "attention.output.dense", hidden_}}, hidden_);
    layer.tail.mlp_norm = make_norm(name + names.mlp);
    layer.tail.up =
        make_linear(tensors, {{name + "intermediate.dense", intermediate_}}, hidden_, layer.tail.mlp_norm.names);
    layer.tail.down = make_linear(tensors, {{name + "output.dense", hidden_}}, intermediate_);
    layers_.push_back(std::move(layer));
  }
  last_norm_ = make_norm(names.last);
}

void* PreNormLayers::operator()(Run& run, void* x, void* sum) const {
  const auto& [ops, batch, arena, trace, rows] = run;
  const std::size_t head_size = hidden_ / heads_;
  void* normed = arena.activations(batch.tokens, hidden_);
  void* qkv = arena.activations(batch.tokens, 3 * hidden_);
  void* context = arena.activations(batch.tokens, hidden_);
  void* inner = arena.activations(batch.tokens, intermediate_);

  filbert_attention_args attention = attention_over(batch, qkv, heads_, heads_, head_size, context);
  // Heads of q and k lie side by side, and turn together.
  const filbert_token_op turn = rope({attention.q, 2 * heads_, head_size, batch.positions, frequencies_, head_size});

  trace.hidden_state(x);
  for (const Layer& layer : layers_) {
    const bool is_last = &layer == &layers_.back();
    const Rows wanted = is_last ? rows : Rows::all;
    const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
    attention.rows = rows_op(wanted);
    trace.next_attention(attention);
    const filbert_token_op norm = layer.attention_norm(x, normed, FILBERT_NEXT_ALONE);  // [tokens, hidden]
    const filbert_token_op projection = layer.qkv.to_heads(normed, qkv, head_size);     // [tokens, 3 hidden]
    if (frequencies_)
      ops.token_ops({norm, projection, turn}, batch.tokens);
    else
      ops.token_ops({norm, projection}, batch.tokens);
    ops.attention(attention);  // [tokens, hidden]
    if (wanted != Rows::all) x = gather_wanted(run, x, hidden_);
    layer.tail(ops, context, x, sum, normed, inner, activation_, tokens);  // [tokens, hidden]
    trace.attention_done();
    if (is_last) {
      ops.token_ops({last_norm_(x, normed)}, tokens);  // [tokens, hidden]
      x = normed;
    }
    trace.hidden_state(x);
  }
  return x;
}

}  // namespace filbert
