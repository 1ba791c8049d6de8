// Gemma 3 for texts (arXiv:2503.19786), as it makes vectors of texts (EmbeddingGemma: arXiv:2509.20354):
// RMS norms before and after attention and the gated feed-forward layer, also of every head of q and k, rotary
// positions, several heads of q to one of k and v, and layers that see only what is near between layers that see all.
#include <algorithm>
#include <cmath>
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
  std::size_t vocabulary, hidden, layers, heads, kv_heads, head_size, intermediate, longest, window;
  float eps, scale;
  bool attention_bias, causal;
  filbert_activation activation;
  std::vector<bool> is_sliding;  // a layer
  Rotation full, sliding;
};

Size read(const ConfigReader& config) {
  const std::int64_t heads = config.positive_int("num_attention_heads", 8, kHeads);
  const std::int64_t kv_heads = config.positive_int("num_key_value_heads", 4, kHeads);
  config.require_divisible("num_attention_heads", heads, "num_key_value_heads", kv_heads);
  const std::size_t layers = size(config.positive_int("num_hidden_layers", 26, kLayers));
  const std::size_t every = size(config.positive_int("sliding_window_pattern", 6, kLayers));
  if (config.is_null("is_causal") || !config.boolean("is_causal", true))
    config.fail("is_causal", "true: use_bidirectional_attention says who sees whom");
  const bool causal = !config.boolean("use_bidirectional_attention", false);
  // Both sides together, or of a causal layer those before the token that asks and itself. Below 2 a token would see
  // itself alone, and a window of 0 is none.
  const std::size_t window = size(config.optional_int("sliding_window", 2, kPositions).value_or(4096));
  const std::vector<bool> is_sliding =
      read_sliding_layers(config, layers, [&](std::size_t i) { return (i + 1) % every != 0; });
  if (config.is_null("sliding_window") && std::find(is_sliding.begin(), is_sliding.end(), true) != is_sliding.end())
    config.fail("sliding_window", "an integer: some layers see only what is near");
  const std::size_t head_size = read_head_size(config, 256);
  const std::size_t longest = size(config.positive_int("max_position_embeddings", 131072, kPositions));
  const RotaryModel full = {1e6, head_size, longest};
  const RotaryModel sliding = {1e4, head_size, longest, "rope_local_base_freq", false};
  return {
      .vocabulary = size(config.positive_int("vocab_size", 262208, kVocabulary)),
      .hidden = size(config.positive_int("hidden_size", 2304, kHiddenSize)),
      .layers = layers,
      .heads = size(heads),
      .kv_heads = size(kv_heads),
      .head_size = head_size,
      .intermediate = size(config.positive_int("intermediate_size", 9216, kIntermediateSize)),
      .longest = longest,
      .window = causal ? window - 1 : window / 2,
      .eps = static_cast<float>(config.positive_number("rms_norm_eps", 1e-6)),
      .scale = static_cast<float>(1 / std::sqrt(config.positive_number("query_pre_attn_scalar", 256))),
      .attention_bias = config.boolean("attention_bias", false),
      .causal = causal,
      .activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh"),
      .is_sliding = is_sliding,
      .full = read_rotation_of_kind(config, "full_attention", full),
      .sliding = read_rotation_of_kind(config, "sliding_attention", sliding),
  };
}

struct Layer {
  Norm attention_norm, q_norm, k_norm, after_attention, mlp_norm, after_mlp;
  Linear qkv, attention_out, up, down;
};

class Gemma3 : public Encoder {
 public:
  Gemma3(const Size& sizes, Tensors& tensors) : config_(sizes) {
    const std::size_t hidden = sizes.hidden, head_size = sizes.head_size, intermediate = sizes.intermediate;
    const std::size_t q_width = sizes.heads * head_size, kv_width = sizes.kv_heads * head_size;
    const bool bias = sizes.attention_bias;
    const auto make_norm = [&](const std::string& name, std::size_t width) {
      return make_centered_rms_norm(tensors, name, width, sizes.eps);
    };
    word_ = tensors.table("embed_tokens.weight", sizes.vocabulary, hidden, Tensors::Init::normal_padding_zero);
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      const std::string attention = name + "self_attn.";
      Layer layer;
      layer.attention_norm = make_norm(name + "input_layernorm", hidden);
      layer.qkv = make_qkv(
          tensors,
          {{attention + "q_proj", q_width}, {attention + "k_proj", kv_width}, {attention + "v_proj", kv_width}}, hidden,
          layer.attention_norm.names, bias);
      layer.q_norm = make_norm(attention + "q_norm", head_size);
      layer.k_norm = make_norm(attention + "k_norm", head_size);
      layer.attention_out = make_linear(tensors, {{attention + "o_proj", hidden}}, q_width, {}, bias);
      layer.after_attention = make_norm(name + "post_attention_layernorm", hidden);
      layer.mlp_norm = make_norm(name + "pre_feedforward_layernorm", hidden);
      layer.up = make_gated(tensors, {{name + "mlp.gate_proj", intermediate}, {name + "mlp.up_proj", intermediate}},
                            hidden, layer.mlp_norm.names, false);
      layer.down = make_linear(tensors, {{name + "mlp.down_proj", hidden}}, intermediate, {}, false);
      layer.after_mlp = make_norm(name + "post_feedforward_layernorm", hidden);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_norm("norm", hidden);
    full_frequencies_ = tensors.numbers(sizes.full.frequencies);
    sliding_frequencies_ = tensors.numbers(sizes.sliding.frequencies);
  }

  Dimensions dimensions() const override {
    return {rotary_inputs(config_.vocabulary, config_.longest), config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, head_size = config_.head_size;
    const std::size_t q_width = config_.heads * head_size, kv_width = config_.kv_heads * head_size;
    const std::size_t width = q_width + 2 * kv_width;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, width);
    void* context = arena.activations(batch.tokens, q_width);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.kv_heads, head_size, context);
    attention.causal = config_.causal;
    const std::size_t turning = config_.heads + config_.kv_heads;  // those of q and k, side by side
    const float word_scale = std::sqrt(static_cast<float>(hidden));

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, x, word_scale))}, batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size(), is_sliding = config_.is_sliding[i];
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      const Weight& frequencies = is_sliding ? sliding_frequencies_ : full_frequencies_;
      attention.rows = rows_op(wanted);
      attention.window = is_sliding ? config_.window : 0;
      attention.scale = config_.scale * (is_sliding ? config_.sliding : config_.full).score_scale;
      trace.next_attention(attention);
      ops.token_ops(
          {layer.attention_norm(x, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
           layer.qkv.to_heads(normed, qkv, head_size),           // [tokens, width]
           layer.q_norm.of_heads(attention.q, config_.heads), layer.k_norm.of_heads(attention.k, config_.kv_heads),
           rope({attention.q, turning, head_size, batch.positions, frequencies, head_size})},
          batch.tokens);
      ops.attention(attention);  // [tokens, q_width]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      ops.token_ops({layer.attention_out(context, normed, FILBERT_NEXT_ALONE),         // [tokens, hidden]
                     layer.after_attention(normed, sum, FILBERT_NEXT_AND_OTHERS, x),   // [tokens, hidden]
                     layer.mlp_norm(sum, normed, FILBERT_NEXT_ALONE),                  // [tokens, hidden]
                     layer.up(normed, inner, FILBERT_NEXT_ALONE, config_.activation),  // [tokens, intermediate]
                     layer.down(inner, normed, FILBERT_NEXT_ALONE),                    // [tokens, hidden]
                     layer.after_mlp(normed, x, FILBERT_OTHERS, sum)},                 // [tokens, hidden]
                    tokens);
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
  std::vector<Layer> layers_;
  Norm final_norm_;
  Weight full_frequencies_, sliding_frequencies_;
};

std::unique_ptr<Encoder> gemma3(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Gemma3>(read(config), tensors);
}

std::unique_ptr<Head> gemma3_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (task != Task::sequence_classification) return nullptr;
  std::optional<std::int64_t> padding;
  if (!config.is_null("pad_token_id")) padding = read_padding_id(config).value_or(0);
  return labels(config, tensors, Over::last, {read(config).hidden}, "score", false, padding);
}

}  // namespace

extern const Family kGemma3Text = {"gemma3_text", {"model."}, gemma3, gemma3_head};

}  // namespace filbert
