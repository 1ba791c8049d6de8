// BERT: Devlin et al., arXiv:1810.04805. Post-norm encoder with learned absolute positions.
#include "models/bert.h"

#include <cmath>
#include <string>

#include "models/activations.h"

namespace filbert {
namespace {

struct BertConfig {
  std::size_t vocabulary, hidden, layers, heads, intermediate, positions, token_types;
  float eps;
  filbert_activation activation;
};

BertConfig read_config(const ConfigReader& config) {
  using namespace config_limits;
  const auto size = [](std::int64_t value) { return static_cast<std::size_t>(value); };
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  config.one_of("feed_forward_type", "original", {"original"});  // of Jina's variants of BERT
  for (const char* field : {"is_decoder", "add_cross_attention"})
    if (config.boolean(field, false)) config.fail(field, "false: filbert runs encoders");
  return {
      .vocabulary = size(config.positive_int("vocab_size", 30522, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", 12, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", 3072, kIntermediateSize)),
      .positions = size(config.positive_int("max_position_embeddings", 512, kPositions)),
      .token_types = size(config.non_negative_int("type_vocab_size", 2, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-12)),
      .activation = read_activation(config, "hidden_act", "gelu"),
  };
}

std::string layer_name(std::size_t layer) { return "encoder.layer." + std::to_string(layer) + "."; }

std::vector<TensorSpec> tensors(const ConfigReader& reader, bool pooler) {
  const BertConfig config = read_config(reader);
  using Init = TensorSpec::Init;
  std::vector<TensorSpec> specs;
  const auto linear = [&](const std::string& name, std::uint64_t out, std::uint64_t in) {
    specs.push_back({name + ".weight", {out, in}, Init::normal});
    specs.push_back({name + ".bias", {out}, Init::zeros});
  };
  const auto norm = [&](const std::string& name) {
    specs.push_back({name + ".weight", {config.hidden}, Init::ones});
    specs.push_back({name + ".bias", {config.hidden}, Init::zeros});
  };
  specs.push_back({"embeddings.word_embeddings.weight", {config.vocabulary, config.hidden}, Init::normal_padding_zero});
  specs.push_back({"embeddings.position_embeddings.weight", {config.positions, config.hidden}, Init::normal});
  if (config.token_types > 0)
    specs.push_back({"embeddings.token_type_embeddings.weight", {config.token_types, config.hidden}, Init::normal});
  norm("embeddings.LayerNorm");
  for (std::size_t i = 0; i < config.layers; ++i) {
    const std::string layer = layer_name(i);
    for (const char* part : {"query", "key", "value"})
      linear(layer + "attention.self." + part, config.hidden, config.hidden);
    linear(layer + "attention.output.dense", config.hidden, config.hidden);
    norm(layer + "attention.output.LayerNorm");
    linear(layer + "intermediate.dense", config.intermediate, config.hidden);
    linear(layer + "output.dense", config.hidden, config.intermediate);
    norm(layer + "output.LayerNorm");
  }
  if (pooler) linear("pooler.dense", config.hidden, config.hidden);
  return specs;
}

struct Linear {
  Weight weight, bias;
};
struct Norm {
  Weight gamma, beta;
};
struct Layer {
  Linear qkv, attention_out, up, down;
  Norm attention_norm, output_norm;
};

class Bert : public Architecture {
 public:
  Bert(const BertConfig& config, const WeightLoader& weights, bool pooler) : config_(config) {
    const auto linear = [&](const std::string& name, const std::string& input_norm = {}) {
      return Linear{weights.matrix({name + ".weight"}, input_norm), weights.vector({name + ".bias"})};
    };
    const auto norm = [&](const std::string& name) {
      return Norm{weights.vector({name + ".weight"}), weights.vector({name + ".bias"})};
    };
    word_ = weights.table("embeddings.word_embeddings.weight");
    position_ = weights.table("embeddings.position_embeddings.weight");
    if (config.token_types > 0) type_ = weights.table("embeddings.token_type_embeddings.weight");
    embedding_norm_ = norm("embeddings.LayerNorm");
    for (std::size_t i = 0; i < config.layers; ++i) {
      const std::string name = layer_name(i);
      const std::string self = name + "attention.self.";
      const std::string input_norm = i == 0 ? "embeddings.LayerNorm" : layer_name(i - 1) + "output.LayerNorm";
      layers_.push_back({
          .qkv = {weights.matrix({self + "query.weight", self + "key.weight", self + "value.weight"}, input_norm),
                  weights.vector({self + "query.bias", self + "key.bias", self + "value.bias"})},
          .attention_out = linear(name + "attention.output.dense"),
          .up = linear(name + "intermediate.dense", name + "attention.output.LayerNorm"),
          .down = linear(name + "output.dense"),
          .attention_norm = norm(name + "attention.output.LayerNorm"),
          .output_norm = norm(name + "output.LayerNorm"),
      });
    }
    if (pooler) pooler_ = linear("pooler.dense");
  }

  Dimensions dimensions() const override {
    return {
        {config_.vocabulary, config_.token_types, config_.positions}, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(const Ops& ops, const Batch& batch, Arena& arena, Trace& trace, bool first_only) const override {
    const std::size_t hidden = config_.hidden;
    const std::size_t head_size = hidden / config_.heads;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * hidden);
    void* context = arena.activations(batch.tokens, hidden);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    const auto dense = [&](const void* in, const Linear& layer, filbert_activation activation, const void* residual,
                           void* out, bool transient = false) {
      return linear({in, layer.weight, layer.bias, residual, activation, out, transient});
    };
    const auto layer_norm = [&](const void* in, const Norm& layer, void* out) {
      return norm({in, layer.gamma, layer.beta, config_.eps, hidden, out});
    };

    ops.token_ops({embed_norm({batch.ids, batch.types, batch.positions, word_, type_, position_, embedding_norm_.gamma,
                               embedding_norm_.beta, config_.eps, hidden, x})},  // [tokens, hidden]
                  batch.tokens);
    trace.hidden_state(x);
    for (const Layer& layer : layers_) {
      const bool first = first_only && &layer == &layers_.back();
      const std::size_t tokens = first ? batch.sequences : batch.tokens;
      const Trace::Probabilities probabilities = trace.next_attention();
      ops.token_ops({dense(x, layer.qkv, FILBERT_IDENTITY, nullptr, qkv)}, batch.tokens);  // [tokens, 3 hidden]
      ops.attention({qkv, batch.cu_seqlens, batch.key_begin, batch.sequences, batch.max_length, config_.heads,
                     head_size, 1.0f / std::sqrt(static_cast<float>(head_size)), first, context, probabilities.data,
                     probabilities.offsets});  // [tokens, hidden]
      if (first) {
        ops.pool({x, batch.cu_seqlens, batch.sequences, hidden, FILBERT_POOL_FIRST, 0, sum});
        std::swap(x, sum);
      }
      ops.token_ops({dense(context, layer.attention_out, FILBERT_IDENTITY, x, sum),  // [tokens, hidden]
                     layer_norm(sum, layer.attention_norm, x),                       // [tokens, hidden]
                     dense(x, layer.up, config_.activation, nullptr, inner, true),   // [tokens, intermediate]
                     dense(inner, layer.down, FILBERT_IDENTITY, x, sum),             // [tokens, hidden]
                     layer_norm(sum, layer.output_norm, x)},                         // [tokens, hidden]
                    tokens);
      if (probabilities.data) trace.attention_done();
      trace.hidden_state(x);
    }
    return x;
  }

  void* pooler(const Ops& ops, std::size_t sequences, const void* first, Arena& arena) const override {
    void* pooled = arena.activations(sequences, config_.hidden);
    ops.token_ops({linear({first, pooler_.weight, pooler_.bias, nullptr, FILBERT_TANH, pooled, 0})}, sequences);
    return pooled;
  }

 private:
  BertConfig config_;
  Weight word_, type_, position_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  Linear pooler_;
};

std::unique_ptr<Architecture> create(const ConfigReader& config, const WeightLoader& weights, bool pooler) {
  return std::make_unique<Bert>(read_config(config), weights, pooler);
}

}  // namespace

const ArchitectureEntry kBert = {"bert", "bert.", tensors, create};

}  // namespace filbert
