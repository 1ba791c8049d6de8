// Jina's second embedding models (Günther et al., arXiv:2310.19923), whose files say model_type "bert": BERT with
// biases that grow with the distance (ALiBi: Press et al., arXiv:2108.12409, here to both sides) in place of positions,
// and a gated feed-forward layer. The one for code also norms q and k, and norms a layer's attention a second time.
#include <cmath>
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/bert_encoder.h"

namespace filbert {
namespace {

BertSize read(const ConfigReader& config) {
  // Biases of all distances are in memory.
  constexpr std::int64_t kMost = std::int64_t{1} << 20;
  if (config.has("max_position_embeddings")) config.positive_int("max_position_embeddings", kMost);
  BertSize found = read_bert_size(config);
  found.has_positions = false;
  return found;
}

// What gates is said by the name of the layer: reglu, geglu... hidden_act belongs to the one without a gate.
filbert_activation gate_of(const ConfigReader& config) {
  const std::string type = config.one_of("feed_forward_type", "original", {"geglu", "original", "reglu"});
  return type == "geglu" ? FILBERT_GELU_ERF : FILBERT_RELU;
}

bool is_gated(const ConfigReader& config) { return config.string("feed_forward_type", "original") != "original"; }

// -slope |distance|, [heads, 2 reach + 1]. Further than `reach` apart are no two tokens.
BertBias bias_by_distance(Tensors& tensors, std::size_t heads, std::size_t reach) {
  Weight values = tensors.numbers([&] {
    std::vector<float> result;
    result.reserve(heads * (2 * reach + 1));
    for (const double slope : alibi_slopes(heads))
      for (std::size_t i = 0; i < 2 * reach + 1; ++i)
        result.push_back(static_cast<float>(-slope * std::abs(static_cast<double>(i) - static_cast<double>(reach))));
    return result;
  });
  return {std::move(values), reach};
}

// The model for code. Layers as in the others, but for the norms.
class JinaCodeBert : public Encoder {
 public:
  JinaCodeBert(const BertSize& sizes, Tensors& tensors) : config_(sizes), tables_(sizes, tensors) {
    const std::size_t hidden = sizes.hidden, intermediate = sizes.intermediate;
    const auto make_norm = [&](const std::string& name) { return make_layer_norm(tensors, name, hidden, sizes.eps); };
    bias_ = bias_by_distance(tensors, sizes.heads, sizes.positions - 1);
    embedding_norm_ = make_norm("embeddings.LayerNorm");
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "encoder.layer." + std::to_string(i) + ".";
      const std::string attention = name + "attention.self.";
      const InputNorm input = i == 0 ? embedding_norm_.names : layers_.back().output_norm.names;
      Layer layer;
      layer.qkv =
          make_qkv(tensors, {{attention + "query", hidden}, {attention + "key", hidden}, {attention + "value", hidden}},
                   hidden, input);
      layer.q_norm = make_norm(attention + "layer_norm_q");
      layer.k_norm = make_norm(attention + "layer_norm_k");
      layer.attention_out = make_linear(tensors, {{name + "attention.output.dense", hidden}}, hidden);
      layer.attention_norm = make_norm(name + "attention.output.LayerNorm");
      layer.second_norm = make_norm(name + "layer_norm_1");
      layer.up = make_gated(tensors, {{name + "mlp.up_gated_layer", 2 * intermediate}}, hidden, layer.second_norm.names,
                            false, Tensors::Gate::lower);
      layer.down = make_linear(tensors, {{name + "mlp.down_layer", hidden}}, intermediate);
      layer.output_norm = make_norm(name + "layer_norm_2");
      layers_.push_back(std::move(layer));
    }
  }

  Dimensions dimensions() const override {
    return {bert_inputs(config_), config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden;
    const std::size_t head_size = hidden / config_.heads;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * hidden);
    void* context = arena.activations(batch.tokens, hidden);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
    attention.bias = bias_.values;
    attention.bias_reach = bias_.reach;

    ops.token_ops({tables_(batch, sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)},
                  batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    for (const Layer& layer : layers_) {
      const Rows wanted = &layer == &layers_.back() ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      trace.next_attention(attention);
      ops.token_ops({layer.qkv.to_heads(x, qkv, head_size),  // [tokens, 3 hidden]
                     layer.q_norm.of_heads(attention.q, 1),  // of all heads together
                     layer.k_norm.of_heads(attention.k, 1)},
                    batch.tokens);
      ops.attention(attention);  // [tokens, hidden]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      ops.token_ops({layer.attention_out(context, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),  // [tokens, hidden]
                     layer.attention_norm(sum, normed, FILBERT_NEXT_ALONE, x),                    // [tokens, hidden]
                     layer.second_norm(normed, x, FILBERT_NEXT_AND_OTHERS),                       // [tokens, hidden]
                     layer.up(x, inner, FILBERT_NEXT_ALONE, config_.activation),       // [tokens, intermediate]
                     layer.down(inner, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),  // [tokens, hidden]
                     layer.output_norm(sum, x)},                                       // [tokens, hidden]
                    tokens);
      trace.attention_done();
      trace.hidden_state(x);
    }
    return x;
  }

 private:
  struct Layer {
    Linear qkv, attention_out, up, down;
    Norm q_norm, k_norm, attention_norm, second_norm, output_norm;
  };

  BertSize config_;
  BertBias bias_;
  BertTables tables_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<Encoder> jina_bert(const ConfigReader& config, Tensors& tensors) {
  BertSize sizes = read(config);
  BertNames names = bert_names();
  if (is_gated(config)) {
    sizes.activation = gate_of(config);
    if (tensors.has("encoder.layer.0.mlp.up_gated_layer.weight")) return std::make_unique<JinaCodeBert>(sizes, tensors);
    names.is_gated = true;
    names.up = "mlp.gated_layers";
    names.down = "mlp.wo";
    names.output_norm = "mlp.layernorm";
  }
  BertBias bias = bias_by_distance(tensors, sizes.heads, sizes.positions - 1);
  return std::make_unique<BertEncoder>(sizes, names, numbered_layers("encoder.layer.", sizes.layers), tensors,
                                       std::move(bias));
}

}  // namespace

extern const Family kJinaBert = {"bert", {"bert."}, jina_bert, bert_head, "alibi"};

}  // namespace filbert
