// Qwen3 (Yang et al., arXiv:2505.09388) without a head, as it makes vectors of texts (arXiv:2506.05176): pre-norm with
// RMS norms, also of every head of q and k, rotary positions, several heads of q to one of k and v, a gated
// feed-forward layer, and causal attention. EuroBERT (Boizard et al., arXiv:2503.05500) has no norms of heads, and its
// tokens see each other.
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

struct Size {
  std::size_t vocabulary, hidden, layers, heads, kv_heads, head_size, intermediate, longest, window;
  float eps;
  bool attention_bias, mlp_bias, causal, norms_heads;
  filbert_activation activation;
  std::vector<bool> is_sliding;  // a layer
  double theta;
};

Size read_qwen3(const ConfigReader& config) {
  const std::int64_t heads = config.positive_int("num_attention_heads", 32, kHeads);
  const std::int64_t kv_heads =
      config.is_null("num_key_value_heads") ? heads : config.positive_int("num_key_value_heads", 32, kHeads);
  config.require_divisible("num_attention_heads", heads, "num_key_value_heads", kv_heads);
  if (config.is_null("head_dim")) config.fail("head_dim", "an even integer: heads turn in pairs");
  const std::size_t layers = size(config.positive_int("num_hidden_layers", 32, kLayers));
  const bool causal = !config.is_null("is_causal") && config.boolean("is_causal", true);  // null is false
  // Of a causal layer it counts the token that asks, too. At 1 that one would see itself alone, and a window of 0 is
  // none.
  std::size_t window = 0;
  if (config.boolean("use_sliding_window", false) && !config.is_null("sliding_window"))
    window = size(config.optional_int("sliding_window", 2, kPositions).value_or(4096)) - (causal ? 1 : 0);
  const std::size_t first_sliding = size(config.non_negative_int("max_window_layers", 28, kLayers));
  std::vector<bool> is_sliding =
      read_sliding_layers(config, layers, [&](std::size_t i) { return window > 0 && i >= first_sliding; });
  for (const bool sliding : is_sliding)
    if (sliding && window == 0)
      config.fail("layer_types", "no \"sliding_attention\" without use_sliding_window and sliding_window");
  return {
      .vocabulary = size(config.positive_int("vocab_size", 151936, kVocabulary)),
      .hidden = size(config.positive_int("hidden_size", 4096, kHiddenSize)),
      .layers = layers,
      .heads = size(heads),
      .kv_heads = size(kv_heads),
      .head_size = read_head_size(config, 128),
      .intermediate = size(config.positive_int("intermediate_size", 22016, kIntermediateSize)),
      .longest = size(config.positive_int("max_position_embeddings", 32768, kPositions)),
      .window = window,
      .eps = static_cast<float>(config.positive_number("rms_norm_eps", 1e-6)),
      .attention_bias = config.boolean("attention_bias", false),
      .mlp_bias = false,
      .causal = causal,
      .norms_heads = true,
      .activation = read_activation(config, "hidden_act", "silu"),
      .is_sliding = std::move(is_sliding),
      .theta = read_theta_of_all(config, 10000),
  };
}

Size read_eurobert(const ConfigReader& config) {
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  const std::int64_t kv_heads = config.positive_int("num_key_value_heads", heads, kHeads);
  config.require_divisible("num_attention_heads", heads, "num_key_value_heads", kv_heads);
  const std::size_t layers = size(config.positive_int("num_hidden_layers", 12, kLayers));
  return {
      .vocabulary = size(config.positive_int("vocab_size", 128256, kVocabulary)),
      .hidden = size(hidden),
      .layers = layers,
      .heads = size(heads),
      .kv_heads = size(kv_heads),
      .head_size = read_head_size(config, hidden / heads),
      .intermediate = size(config.positive_int("intermediate_size", 3072, kIntermediateSize)),
      .longest = size(config.positive_int("max_position_embeddings", 8192, kPositions)),
      .window = 0,
      .eps = static_cast<float>(config.positive_number("rms_norm_eps", 1e-5)),
      .attention_bias = config.boolean("attention_bias", false),
      .mlp_bias = config.boolean("mlp_bias", false),
      .causal = false,
      .norms_heads = false,
      .activation = read_activation(config, "hidden_act", "silu"),
      .is_sliding = std::vector<bool>(layers, false),
      .theta = read_theta_of_all(config, 10000),
  };
}

struct Layer {
  Norm attention_norm, q_norm, k_norm, mlp_norm;
  Linear qkv, attention_out, up, down;
};

class Qwen3 : public Encoder {
 public:
  Qwen3(const Size& sizes, Tensors& tensors) : config_(sizes) {
    const auto& [vocabulary, hidden, layers, heads, kv_heads, head_size, intermediate, longest, window, eps,
                 attention_bias, mlp_bias, causal, norms_heads, activation, is_sliding, theta] = config_;
    word_ = tensors.table("embed_tokens.weight", vocabulary, hidden, Tensors::Init::normal_padding_zero);
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      const std::string attention = name + "self_attn.";
      Layer layer;
      layer.attention_norm = make_rms_norm(tensors, name + "input_layernorm", hidden, eps);
      layer.qkv = make_qkv(tensors,
                           {{attention + "q_proj", heads * head_size},
                            {attention + "k_proj", kv_heads * head_size},
                            {attention + "v_proj", kv_heads * head_size}},
                           hidden, layer.attention_norm.names, attention_bias);
      if (norms_heads) {
        layer.q_norm = make_rms_norm(tensors, attention + "q_norm", head_size, eps);
        layer.k_norm = make_rms_norm(tensors, attention + "k_norm", head_size, eps);
      }
      layer.attention_out =
          make_linear(tensors, {{attention + "o_proj", hidden}}, heads * head_size, {}, attention_bias);
      layer.mlp_norm = make_rms_norm(tensors, name + "post_attention_layernorm", hidden, eps);
      layer.up = make_gated(tensors, {{name + "mlp.gate_proj", intermediate}, {name + "mlp.up_proj", intermediate}},
                            hidden, layer.mlp_norm.names, mlp_bias);
      layer.down = make_linear(tensors, {{name + "mlp.down_proj", hidden}}, intermediate, {}, mlp_bias);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_rms_norm(tensors, "norm", hidden, eps);
    frequencies_ = tensors.numbers(rotary_frequencies(theta, head_size));
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

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, x))},
                  batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size();
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      attention.window = config_.is_sliding[i] ? config_.window : 0;
      trace.next_attention(attention);
      const filbert_token_op normalize = layer.attention_norm(x, normed, FILBERT_NEXT_ALONE);  // [tokens, hidden]
      const filbert_token_op project = layer.qkv.to_heads(normed, qkv, head_size);             // [tokens, width]
      const filbert_token_op turn = rope({attention.q, turning, head_size, batch.positions, frequencies_, head_size});
      if (config_.norms_heads)
        ops.token_ops({normalize, project, layer.q_norm.of_heads(attention.q, config_.heads),
                       layer.k_norm.of_heads(attention.k, config_.kv_heads), turn},
                      batch.tokens);
      else
        ops.token_ops({normalize, project, turn}, batch.tokens);
      ops.attention(attention);  // [tokens, q_width]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      ops.token_ops(
          {layer.attention_out(context, sum, FILBERT_NEXT_AND_OTHERS, FILBERT_IDENTITY, x),  // [tokens, hidden]
           layer.mlp_norm(sum, normed, FILBERT_NEXT_ALONE),                                  // [tokens, hidden]
           layer.up(normed, inner, FILBERT_NEXT_ALONE, config_.activation),                  // [tokens, intermediate]
           layer.down(inner, x, FILBERT_OTHERS, FILBERT_IDENTITY, sum)},                     // [tokens, hidden]
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
  Weight frequencies_;
};

std::unique_ptr<Encoder> qwen3(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Qwen3>(read_qwen3(config), tensors);
}

std::unique_ptr<Encoder> eurobert(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Qwen3>(read_eurobert(config), tensors);
}

std::unique_ptr<Head> qwen3_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const Size sizes = read_qwen3(config);
  switch (task) {
    case Task::sequence_classification:
      return labels(config, tensors, Over::last, {sizes.hidden}, "score", false,
                    config.optional_int("pad_token_id", 0, kVocabulary));
    case Task::token_classification:
      return labels(config, tensors, Over::each, {sizes.hidden}, "score");
    case Task::question_answering:
      return spans(config, tensors, {sizes.hidden});
    case Task::next_token:
      return next_tokens(config, tensors, sizes.hidden, {"embed_tokens.weight", "lm_head", "", false, false},
                         sizes.vocabulary);
    default:
      return nullptr;
  }
}

// Logits of a text are means of those of its tokens, or of the mean or the first of them.
Over eurobert_pooling(const ConfigReader& config) {
  const std::string pooling = config.one_of("classifier_pooling", "late", {"bos", "mean", "late"});
  return pooling == "bos" ? Over::first : pooling == "mean" ? Over::mean : Over::mean_of_inner;
}

std::unique_ptr<Head> eurobert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const Size sizes = read_eurobert(config);
  const std::size_t hidden = sizes.hidden;
  switch (task) {
    case Task::sequence_classification:
      return labels(config, tensors, eurobert_pooling(config),
                    inner_layer(tensors, "dense", hidden, hidden, FILBERT_GELU_ERF), "classifier");
    case Task::token_classification:
      return labels(config, tensors, Over::each, {hidden}, "classifier");
    case Task::masked_lm:
      return words(config, tensors, {hidden}, {"embed_tokens.weight", "lm_head", "", sizes.mlp_bias, false},
                   sizes.vocabulary);
    default:
      return nullptr;
  }
}

}  // namespace

extern const Family kEurobert = {"eurobert", {"model."}, eurobert, eurobert_head};
extern const Family kQwen3 = {"qwen3", {"model.", "transformer."}, qwen3, qwen3_head, "", "transformer."};

}  // namespace filbert
