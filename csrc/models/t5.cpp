// The encoder of T5 (Raffel et al., arXiv:1910.10683), of mT5 (arXiv:2010.11934) and of umT5 (arXiv:2304.09151): RMS
// norms before each part, no biases of layers, scores that are not scaled, and to each is added what a table has for
// its distance. The table is one for all layers, umT5's one a layer. The decoder is not computed.
#include <bit>
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/bert_encoder.h"
#include "models/distance_buckets.h"
#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

constexpr const char* kWords = "shared.weight";

struct Defaults {
  std::int64_t vocabulary, layers, heads, intermediate;
  std::string_view feed_forward;
};

constexpr Defaults kT5Defaults = {32128, 6, 8, 2048, "relu"};
constexpr Defaults kMt5Defaults = {250112, 8, 6, 1024, "gated-gelu"};

struct Size {
  std::size_t vocabulary, hidden, layers, heads, head_size, intermediate;
  float eps;
  bool is_gated;
  filbert_activation activation;
  DistanceBuckets buckets;
};

std::size_t read_size(const ConfigReader& config, const char* name, const char* usual_name, std::int64_t fallback,
                      std::int64_t max) {
  return size(config.positive_int(config.one_name(name, usual_name), fallback, max));
}

// Of these settings, float32 puts every distance where exact numbers do: see DistanceBuckets::of.
DistanceBuckets read_buckets(const ConfigReader& config) {
  const std::int64_t count = config.optional_int("relative_attention_num_buckets", 4, 128).value_or(32);
  if (!std::has_single_bit(size(count))) config.fail("relative_attention_num_buckets", "a power of two");
  const auto farthest = config.optional_int("relative_attention_max_distance", count / 4 + 1, 512);
  return {size(count), farthest.value_or(128)};
}

Size read(const ConfigReader& config, const Defaults& defaults) {
  refuse_decoders(config);
  const std::string feed_forward = config.string("feed_forward_proj", defaults.feed_forward);
  constexpr std::string_view kGated = "gated-";
  const bool is_gated = feed_forward.starts_with(kGated);
  const std::string name =
      feed_forward == "gated-gelu" ? "gelu_new" : feed_forward.substr(is_gated ? kGated.size() : 0);
  return {
      .vocabulary = size(config.positive_int("vocab_size", defaults.vocabulary, kVocabulary)),
      .hidden = read_size(config, "d_model", "hidden_size", 512, kHiddenSize),
      .layers = read_size(config, "num_layers", "num_hidden_layers", defaults.layers, kLayers),
      .heads = read_size(config, "num_heads", "num_attention_heads", defaults.heads, kHeads),
      .head_size = read_size(config, "d_kv", "head_dim", 64, kHiddenSize),
      .intermediate = size(config.positive_int("d_ff", defaults.intermediate, kIntermediateSize)),
      .eps = static_cast<float>(config.positive_number("layer_norm_epsilon", 1e-6)),
      .is_gated = config.boolean("is_gated_act", is_gated),
      .activation = config.has("dense_act_fn") ? read_activation(config, "dense_act_fn", "")
                                               : find_activation(config, "feed_forward_proj", name),
      .buckets = read_buckets(config),
  };
}

struct Layer {
  Norm attention_norm;
  Linear qkv;
  PreNormTail tail;
  Weight bias;  // null: the first layer's
};

class T5 : public Encoder {
 public:
  T5(const Size& sizes, bool has_bias_a_layer, Tensors& tensors) : config_(sizes) {
    const std::size_t hidden = sizes.hidden, width = sizes.heads * sizes.head_size, intermediate = sizes.intermediate;
    tensors.tie(kWords, "encoder.embed_tokens.weight");
    word_ = tensors.table(kWords, sizes.vocabulary, hidden);
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "encoder.block." + std::to_string(i) + ".layer.";
      const std::string attention = name + "0.SelfAttention.", mlp = name + "1.DenseReluDense.";
      Layer layer;
      layer.attention_norm = make_rms_norm(tensors, name + "0.layer_norm", hidden, sizes.eps);
      layer.qkv = make_qkv(tensors, {{attention + "q", width}, {attention + "k", width}, {attention + "v", width}},
                           hidden, layer.attention_norm.names, false);
      if (i == 0 || has_bias_a_layer)
        layer.bias =
            tensors.computed({attention + "relative_attention_bias.weight", sizes.buckets.count}, sizes.heads,
                             [&](const std::vector<float>& table) { return sizes.buckets.spread(table, sizes.heads); });
      layer.tail.attention_out = make_linear(tensors, {{attention + "o", hidden}}, width, {}, false);
      layer.tail.mlp_norm = make_rms_norm(tensors, name + "1.layer_norm", hidden, sizes.eps);
      layer.tail.up =
          sizes.is_gated ? make_gated(tensors, {{mlp + "wi_0", intermediate}, {mlp + "wi_1", intermediate}}, hidden,
                                      layer.tail.mlp_norm.names, false)
                         : make_linear(tensors, {{mlp + "wi", intermediate}}, hidden, layer.tail.mlp_norm.names, false);
      layer.tail.down = make_linear(tensors, {{mlp + "wo", hidden}}, intermediate, {}, false);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_rms_norm(tensors, "encoder.final_layer_norm", hidden, sizes.eps);
  }

  // No position is looked up, so there is no longest text.
  Dimensions dimensions() const override {
    return {rotary_inputs(config_.vocabulary, size(kPositions)), config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, head_size = config_.head_size, width = config_.heads * head_size;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * width);
    void* context = arena.activations(batch.tokens, width);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
    attention.scale = 1;
    attention.bias_reach = size(config_.buckets.farthest);

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, x))}, batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size();
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      if (layer.bias) attention.bias = layer.bias;
      trace.next_attention(attention);
      ops.token_ops({layer.attention_norm(x, normed, FILBERT_NEXT_ALONE),  // [tokens, hidden]
                     layer.qkv.to_heads(normed, qkv, head_size)},          // [tokens, 3 width]
                    batch.tokens);
      ops.attention(attention);  // [tokens, width]
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
  std::vector<Layer> layers_;
  Norm final_norm_;
};

std::unique_ptr<Encoder> t5(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<T5>(read(config, kT5Defaults), false, tensors);
}

std::unique_ptr<Encoder> mt5(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<T5>(read(config, kMt5Defaults), false, tensors);
}

std::unique_ptr<Encoder> umt5(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<T5>(read(config, kMt5Defaults), true, tensors);
}

std::unique_ptr<Head> t5_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (task == Task::encoder || task == Task::model) return nullptr;
  if (task != Task::token_classification)
    config.fail_with("T5's head for this task reads the decoder, which filbert does not compute");
  const std::size_t hidden = read_size(config, "d_model", "hidden_size", 512, kHiddenSize);
  return labels(config, tensors, Over::each, {hidden}, "classifier");
}

// transformers has no word of the decoder either where it opens an encoder.
constexpr Skipped kDecoder = {"decoder."};

}  // namespace

extern const Family kT5 = {"t5", {"transformer."}, t5, t5_head, "", "", kDecoder};
extern const Family kMt5 = {"mt5", {"transformer."}, mt5, t5_head, "", "", kDecoder};
extern const Family kUmt5 = {"umt5", {"transformer."}, umt5, t5_head, "", "", kDecoder};

}  // namespace filbert
