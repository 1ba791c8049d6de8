// ModernBERT (Warner et al., arXiv:2412.13663): pre-norm, rotary positions, a gated feed-forward layer, and layers that
// see only what is near between layers that see all.
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/heads.h"
#include "models/layers.h"
#include "models/rotation.h"

namespace filbert {
namespace {

using namespace config_limits;

struct Size {
  std::size_t vocabulary, hidden, layers, heads, intermediate, longest, window;
  float eps;
  bool norm_bias, attention_bias, mlp_bias;
  filbert_activation activation;
  std::vector<bool> is_sliding;  // a layer
  Rotation full, sliding;
};

Size read(const ConfigReader& config) {
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  const std::size_t head_size = rotary_head_size(config, "hidden_size", hidden, "num_attention_heads", heads);
  const std::size_t layers = size(config.positive_int("num_hidden_layers", 22, kLayers));
  const std::size_t every = size(config.positive_int("global_attn_every_n_layers", 3, kLayers));
  // Both sides together. Below 2 a token would see itself alone, and a window of 0 is none.
  const auto local_attention = config.optional_int("local_attention", 2, kPositions);
  const auto one_side = config.optional_int("sliding_window", 1, kPositions);  // where it is there, it holds
  const std::size_t longest = size(config.positive_int("max_position_embeddings", 8192, kPositions));
  const RotaryModel full = {160000, head_size, longest, "global_rope_theta"};
  const RotaryModel local = {10000, head_size, longest, "local_rope_theta"};
  return {
      .vocabulary = size(config.positive_int("vocab_size", 50368, kVocabulary)),
      .hidden = size(hidden),
      .layers = layers,
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", 1152, kIntermediateSize)),
      .longest = longest,
      .window = size(one_side.value_or(local_attention.value_or(128) / 2)),
      .eps = static_cast<float>(config.positive_number("norm_eps", 1e-5)),
      .norm_bias = config.boolean("norm_bias", false),
      .attention_bias = config.boolean("attention_bias", false),
      .mlp_bias = config.boolean("mlp_bias", false),
      .activation = read_activation(config, "hidden_activation", "gelu"),
      .is_sliding = read_sliding_layers(config, layers, [&](std::size_t i) { return i % every != 0; }),
      .full = read_rotation_of_kind(config, "full_attention", full),
      .sliding = read_rotation_of_kind(config, "sliding_attention", config.is_null(local.theta_field) ? full : local),
  };
}

struct Layer {
  Norm attention_norm;  // none of the first layer: the embeddings are normed already
  Linear qkv;
  PreNormTail tail;
};

class ModernBert : public Encoder {
 public:
  ModernBert(const Size& sizes, Tensors& tensors) : config_(sizes) {
    const std::size_t hidden = sizes.hidden;
    const auto make_norm = [&](const std::string& name) {
      return make_layer_norm(tensors, name, hidden, sizes.eps, sizes.norm_bias);
    };
    word_ = tensors.table("embeddings.tok_embeddings.weight", sizes.vocabulary, hidden, Tensors::Init::normal);
    embedding_norm_ = make_norm("embeddings.norm");
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      Layer layer;
      if (i > 0) layer.attention_norm = make_norm(name + "attn_norm");
      const Norm& input = i > 0 ? layer.attention_norm : embedding_norm_;
      layer.qkv = make_qkv(tensors, {{name + "attn.Wqkv", 3 * hidden}}, hidden, input.names, sizes.attention_bias);
      layer.tail.attention_out = make_linear(tensors, {{name + "attn.Wo", hidden}}, hidden, {}, sizes.attention_bias);
      layer.tail.mlp_norm = make_norm(name + "mlp_norm");
      layer.tail.up = make_gated(tensors, {{name + "mlp.Wi", 2 * sizes.intermediate}}, hidden,
                                 layer.tail.mlp_norm.names, sizes.mlp_bias);
      layer.tail.down = make_linear(tensors, {{name + "mlp.Wo", hidden}}, sizes.intermediate, {}, sizes.mlp_bias);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_norm("final_norm");
    full_frequencies_ = tensors.numbers(sizes.full.frequencies);
    sliding_frequencies_ = tensors.numbers(sizes.sliding.frequencies);
  }

  Dimensions dimensions() const override {
    return {rotary_inputs(config_.vocabulary, config_.longest), config_.hidden, config_.layers, config_.heads};
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
    const float scale = attention.scale;

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, sum),
                         FILBERT_NEXT_ALONE),  // [tokens, hidden]
                   embedding_norm_(sum, x)},   // [tokens, hidden]
                  batch.tokens);
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size(), is_sliding = config_.is_sliding[i];
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      attention.window = is_sliding ? config_.window : 0;
      attention.scale = scale * (is_sliding ? config_.sliding : config_.full).score_scale;
      trace.next_attention(attention);
      const Weight& frequencies = is_sliding ? sliding_frequencies_ : full_frequencies_;
      // Heads of q and k lie side by side, and turn together.
      const filbert_token_op turn =
          rope({attention.q, 2 * config_.heads, head_size, batch.positions, frequencies, head_size});
      if (i == 0)
        ops.token_ops({layer.qkv.to_heads(x, qkv, head_size), turn}, batch.tokens);  // [tokens, 3 hidden]
      else
        ops.token_ops({layer.attention_norm(x, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
                       layer.qkv.to_heads(normed, qkv, head_size), turn},    // [tokens, 3 hidden]
                      batch.tokens);
      ops.attention(attention);  // [tokens, hidden]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      layer.tail(ops, context, x, sum, normed, inner, config_.activation, tokens);  // [tokens, hidden]
      trace.attention_done();
      if (is_last) {
        ops.token_ops({final_norm_(x, normed)}, tokens);  // [tokens, hidden]
        x = normed;
      }
      trace.hidden_state(x);
    }
    return x;
  }

 private:
  Size config_;
  Weight word_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  Norm final_norm_;
  Weight full_frequencies_, sliding_frequencies_;
};

std::unique_ptr<Encoder> modernbert(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<ModernBert>(read(config), tensors);
}

// All heads stand on a layer and a norm.
std::unique_ptr<Head> modernbert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  constexpr auto kHead = Tensors::Owner::head;
  const bool is_sequence = task == Task::sequence_classification;
  const bool is_token = task == Task::token_classification || task == Task::question_answering;
  if (!is_sequence && !is_token && task != Task::masked_lm) return nullptr;
  const Size sizes = read(config);
  HeadInner inner = inner_layer(tensors, "head.dense", sizes.hidden, sizes.hidden,
                                read_activation(config, "classifier_activation", "gelu"), kHead,
                                config.boolean("classifier_bias", false));
  inner.norm = make_layer_norm(tensors, "head.norm", sizes.hidden, sizes.eps, sizes.norm_bias, kHead);
  if (task == Task::masked_lm)
    return words(config, tensors, std::move(inner),
                 {"embeddings.tok_embeddings.weight", "decoder", "", config.boolean("decoder_bias", true)},
                 sizes.vocabulary);
  if (task == Task::question_answering) return spans(config, tensors, std::move(inner), "classifier");
  const bool is_of_first = config.one_of("classifier_pooling", "cls", {"cls", "mean"}) == "cls";
  const Over over = is_token ? Over::each : is_of_first ? Over::first : Over::mean;
  return labels(config, tensors, over, std::move(inner), "classifier");
}

}  // namespace

extern const Family kModernbert = {"modernbert", {"model."}, modernbert, modernbert_head};

}  // namespace filbert
