// EmbeddingGemma 2, its texts: Gemma 3's layers (arXiv:2503.19786), whose heads are normed in v too and wider where a
// layer sees all, and after each a gate on what the word vectors say to that layer (per-layer embeddings). Attention is
// both ways. Images and sounds, which have encoders of their own, are left out.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "files/text.h"
#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/heads.h"
#include "models/layers.h"
#include "models/rotation.h"

namespace filbert {
namespace {

using namespace config_limits;

struct LayerHeads {
  bool is_sliding;
  std::size_t kv_heads, head_size;
};

struct Size {
  std::size_t vocabulary, hidden, heads, intermediate, per_layer, out, longest, window;
  float eps;
  bool attention_bias;
  filbert_activation activation;
  std::vector<LayerHeads> layers;
};

// What per_layer_config says of each layer, by its number ("5", or "05" as transformers writes it): its heads alone.
void read_own_heads(const ConfigReader& config, std::vector<LayerHeads>& layers) {
  const std::optional<ConfigReader> all = config.object("per_layer_config");
  if (!all) return;
  for (const auto& [number, settings] : config.find("per_layer_config")->object()->members()) {
    std::size_t index = 0;
    const char* const end = number.data() + number.size();
    if (const auto [stop, error] = std::from_chars(number.data(), end, index); error != std::errc() || stop != end)
      config.fail_with("per_layer_config: found the key " + quote(number) + ", expected numbers of layers");
    const std::optional<ConfigReader> own = all->object(number);
    if (!own) all->fail(number, "an object");
    if (index >= layers.size()) continue;  // of a model that is asked for fewer
    for (const auto& [key, value] : settings.object()->members())
      if (key != "head_dim" && key != "num_key_value_heads") own->fail(key, "head_dim and num_key_value_heads alone");
    LayerHeads& layer = layers[index];
    layer.kv_heads = size(own->positive_int("num_key_value_heads", static_cast<std::int64_t>(layer.kv_heads), kHeads));
    layer.head_size = size(own->positive_int("head_dim", static_cast<std::int64_t>(layer.head_size), kHiddenSize));
  }
}

// Layers that see all may have other heads.
std::vector<LayerHeads> read_layers(const ConfigReader& config, std::size_t heads) {
  const std::size_t count = size(config.positive_int("num_hidden_layers", 24, kLayers));
  const std::size_t every = size(config.positive_int("sliding_window_pattern", 6, kLayers));
  std::vector<bool> is_sliding =
      read_sliding_layers(config, count, [&](std::size_t i) { return (i + 1) % every != 0; });
  is_sliding.back() = false;  // whatever files say, as in transformers
  const std::size_t kv_heads = size(config.positive_int("num_key_value_heads", 2, kHeads));
  const std::size_t head_size = size(config.positive_int("head_dim", 256, kHiddenSize));
  const std::size_t full_kv_heads = size(config.positive_int("num_global_key_value_heads", 1, kHeads));
  const std::size_t full_head_size = size(config.positive_int("global_head_dim", 512, kHiddenSize));
  const bool has_own = config.has("per_layer_config") || config.is_null("per_layer_config");
  std::vector<LayerHeads> layers;
  for (const bool slides : is_sliding)
    layers.push_back(slides || has_own ? LayerHeads{slides, kv_heads, head_size}
                                       : LayerHeads{slides, full_kv_heads, full_head_size});
  read_own_heads(config, layers);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = "layer " + std::to_string(i) + ": found ";
    if (heads % layers[i].kv_heads != 0)
      config.fail_with(name + std::to_string(layers[i].kv_heads) +
                       " heads of keys, expected a divisor of num_attention_heads (" + std::to_string(heads) + ")");
    if (layers[i].head_size % 2 != 0)
      config.fail_with(name + "heads of " + std::to_string(layers[i].head_size) +
                       " numbers, expected an even number: they turn in pairs");
  }
  return layers;
}

Size read(const ConfigReader& config) {
  for (const char* field : {"rope_scaling", "rope_theta"})
    if (config.has(field)) config.fail(field, "none: rope_parameters says how each kind of layers turns");
  const std::size_t heads = size(config.positive_int("num_attention_heads", 4, kHeads));
  return {
      .vocabulary = size(config.positive_int("vocab_size", 262144, kVocabulary)),
      .hidden = size(config.positive_int("hidden_size", 512, kHiddenSize)),
      .heads = heads,
      .intermediate = size(config.positive_int("intermediate_size", 2048, kIntermediateSize)),
      .per_layer = size(config.positive_int("hidden_size_per_layer_input", 512, kHiddenSize)),
      .out = size(config.positive_int("embedding_dim", 768, kHiddenSize)),
      .longest = size(config.positive_int("max_position_embeddings", 262144, kPositions)),
      .window = size(config.positive_int("sliding_window", 512, kPositions)),
      .eps = static_cast<float>(config.positive_number("rms_norm_eps", 1e-6)),
      .attention_bias = config.boolean("attention_bias", false),
      .activation = read_activation(config, "hidden_activation", "gelu_pytorch_tanh"),
      .layers = read_layers(config, heads),
  };
}

struct Layer {
  Norm attention_norm, q_norm, k_norm, v_norm, after_attention, mlp_norm, after_mlp, after_gate;
  Linear qkv, attention_out, up, down, said, gate, after_gate_in;
  Weight factor, frequencies;
  float score_scale = 1;
};

class EmbeddingGemma2 : public Encoder {
 public:
  EmbeddingGemma2(const ConfigReader& config, Tensors& tensors) : config_(read(config)) {
    const std::size_t hidden = config_.hidden, per_layer = config_.per_layer;
    const auto make_norm = [&](const std::string& name, std::size_t width) {
      return make_rms_norm(tensors, name, width, config_.eps);
    };
    word_ = tensors.table("embed_tokens.weight", config_.vocabulary, hidden, Tensors::Init::normal_padding_zero);
    std::vector<std::vector<Tensors::Range>> rows;  // of the projection of word vectors, for each layer
    for (std::size_t i = 0; i < config_.layers.size(); ++i) rows.push_back({{i * per_layer, (i + 1) * per_layer}});
    std::vector<Weight> said =
        tensors.rows_of({"ple.per_layer_model_projection.weight", rows.size() * per_layer}, hidden, rows);
    said_norm_ = make_norm("ple.per_layer_projection_norm", per_layer);
    // What is normed is the projection over the root of `hidden`, which is left out of it.
    said_norm_.eps *= static_cast<float>(hidden);
    for (std::size_t i = 0; i < config_.layers.size(); ++i)
      layers_.push_back(make_layer(config, tensors, i, std::move(said[i])));
    final_norm_ = make_norm("norm", hidden);
    out_ = make_linear(tensors, {{"embedding_projection", config_.out}}, hidden, final_norm_.names, false);
  }

  Dimensions dimensions() const override {
    return {rotary_inputs(config_.vocabulary, config_.longest), config_.out, layers_.size(), config_.heads,
            config_.hidden};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, per_layer = config_.per_layer;
    std::size_t context_width = 0, width = 0;
    for (const LayerHeads& layer : config_.layers) {
      context_width = std::max(context_width, config_.heads * layer.head_size);
      width = std::max(width, (config_.heads + 2 * layer.kv_heads) * layer.head_size);
    }
    void* words = arena.activations(batch.tokens, hidden);
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, std::max(hidden, per_layer));
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, width);
    void* context = arena.activations(batch.tokens, context_width);
    void* inner = arena.activations(batch.tokens, config_.intermediate);
    void* said = arena.activations(batch.tokens, per_layer);
    void* gate = arena.activations(batch.tokens, per_layer);
    void* gated = arena.activations(batch.tokens, per_layer);
    const float word_scale = std::sqrt(static_cast<float>(hidden));

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, words, word_scale))},
                  batch.tokens);  // [tokens, hidden]
    trace.hidden_state(words);
    const void* from = words;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const auto& [is_sliding, kv_heads, head_size] = config_.layers[i];
      const bool is_last = i + 1 == layers_.size();
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      filbert_attention_args attention = attention_over(batch, qkv, config_.heads, kv_heads, head_size, context);
      attention.rows = rows_op(wanted);
      attention.window = is_sliding ? config_.window : 0;
      attention.scale = layer.score_scale;
      trace.next_attention(attention);
      ops.token_ops(
          {layer.attention_norm(from, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
           layer.qkv.to_heads(normed, qkv, head_size),              // [tokens, width]
           layer.q_norm.of_heads(attention.q, config_.heads), layer.k_norm.of_heads(attention.k, kv_heads),
           layer.v_norm.of_heads(attention.v, kv_heads),
           rope({attention.q, config_.heads + kv_heads, head_size, batch.positions, layer.frequencies, head_size})},
          batch.tokens);
      ops.attention(attention);  // [tokens, heads head_size]
      const void* first = words;
      if (wanted != Rows::all) {
        from = gather_wanted(run, from, hidden);
        first = gather_wanted(run, words, hidden);
      }
      ops.token_ops({layer.said(first, sum, FILBERT_NEXT_ALONE),                         // [tokens, per_layer]
                     said_norm_(sum, said),                                              // [tokens, per_layer]
                     layer.attention_out(context, normed, FILBERT_NEXT_ALONE),           // [tokens, hidden]
                     layer.after_attention(normed, sum, FILBERT_NEXT_AND_OTHERS, from),  // [tokens, hidden]
                     layer.mlp_norm(sum, normed, FILBERT_NEXT_ALONE),                    // [tokens, hidden]
                     layer.up(normed, inner, FILBERT_NEXT_ALONE, config_.activation),    // [tokens, intermediate]
                     layer.down(inner, normed, FILBERT_NEXT_ALONE),                      // [tokens, hidden]
                     layer.after_mlp(normed, x, FILBERT_NEXT_AND_OTHERS, sum),           // [tokens, hidden]
                     layer.gate(x, gate, FILBERT_NEXT_ALONE, config_.activation),        // [tokens, per_layer]
                     multiply({gate, said, nullptr, per_layer, gated}, FILBERT_NEXT_ALONE),
                     layer.after_gate_in(gated, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
                     layer.after_gate(normed, sum, FILBERT_NEXT_ALONE, x),    // [tokens, hidden]
                     multiply({sum, nullptr, layer.factor, hidden, x})},
                    tokens);
      trace.attention_done();
      from = x;
      if (!is_last) trace.hidden_state(x);
    }
    const std::size_t tokens = rows == Rows::all ? batch.tokens : batch.sequences;
    void* out = arena.activations(tokens, config_.out);
    ops.token_ops({final_norm_(x, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
                   out_(normed, out)},                          // [tokens, out]
                  tokens);
    trace.hidden_state(out);
    return out;
  }

 private:
  Layer make_layer(const ConfigReader& config, Tensors& tensors, std::size_t index, Weight said) const {
    const auto& [is_sliding, kv_heads, head_size] = config_.layers[index];
    const std::size_t hidden = config_.hidden, q_width = config_.heads * head_size, kv_width = kv_heads * head_size;
    const std::size_t intermediate = config_.intermediate, per_layer = config_.per_layer;
    const std::string name = "layers." + std::to_string(index) + ".", attention = name + "self_attn.";
    const auto make_norm = [&](const std::string& part, std::size_t width) {
      return make_rms_norm(tensors, name + part, width, config_.eps);
    };
    Layer layer;
    layer.attention_norm = make_norm("input_layernorm", hidden);
    layer.qkv = make_qkv(
        tensors, {{attention + "q_proj", q_width}, {attention + "k_proj", kv_width}, {attention + "v_proj", kv_width}},
        hidden, layer.attention_norm.names, config_.attention_bias);
    layer.q_norm = make_norm("self_attn.q_norm", head_size);
    layer.k_norm = make_norm("self_attn.k_norm", head_size);
    layer.v_norm = {FILBERT_RMS_NORM, head_size, config_.eps, tensors.numbers(std::vector(head_size, 1.0f)), {}, {}};
    layer.attention_out = make_linear(tensors, {{attention + "o_proj", hidden}}, q_width, {}, config_.attention_bias);
    layer.after_attention = make_norm("post_attention_layernorm", hidden);
    layer.mlp_norm = make_norm("pre_feedforward_layernorm", hidden);
    layer.up = make_gated(tensors, {{name + "mlp.gate_proj", intermediate}, {name + "mlp.up_proj", intermediate}},
                          hidden, layer.mlp_norm.names, false);
    layer.down = make_linear(tensors, {{name + "mlp.down_proj", hidden}}, intermediate, {}, false);
    layer.after_mlp = make_norm("post_feedforward_layernorm", hidden);
    layer.said.weight = std::move(said);
    layer.gate = make_linear(tensors, {{name + "ple_block.per_layer_input_gate", per_layer}}, hidden, {}, false);
    layer.after_gate_in =
        make_linear(tensors, {{name + "ple_block.per_layer_projection", hidden}}, per_layer, {}, false);
    layer.after_gate = make_norm("ple_block.post_per_layer_input_norm", hidden);
    layer.factor = tensors.vector({{name + "layer_scalar", 1}}, Tensors::Init::ones);
    const Rotation rotation = read_rotation_of_kind(config, is_sliding ? "sliding_attention" : "full_attention",
                                                    {is_sliding ? 1e4 : 1e6, head_size, config_.longest});
    layer.frequencies = tensors.numbers(rotation.frequencies);
    layer.score_scale = rotation.score_scale;
    return layer;
  }

  Size config_;
  Weight word_;
  Norm said_norm_, final_norm_;
  std::vector<Layer> layers_;
  Linear out_;
};

std::unique_ptr<Encoder> embedding_gemma2_text(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<EmbeddingGemma2>(config, tensors);
}

// Of texts, images and sounds: its texts.
std::unique_ptr<Encoder> embedding_gemma2(const ConfigReader& config, Tensors& tensors) {
  const std::optional<ConfigReader> text = config.object("text_config");
  if (!text) config.fail_with("text_config: missing, expected an object");
  return embedding_gemma2_text(*text, tensors);
}

}  // namespace

constexpr Skipped kOthers = {"vision_tower.", "embed_vision.", "audio_tower.", "embed_audio."};
extern const Family kEmbeddingGemma2Text = {
    "embedding_gemma2_text", {"model.", "language_model."}, embedding_gemma2_text, no_head, "", "", kOthers};
extern const Family kEmbeddingGemma2 = {
    "embedding_gemma2", {"model.", "language_model."}, embedding_gemma2, no_head, "", "", kOthers};

}  // namespace filbert
