// BERT (Devlin et al., arXiv:1810.04805), and what computes the same under other names: RoBERTa (arXiv:1907.11692),
// XLM-R (arXiv:1911.02116) and CamemBERT (arXiv:1911.03894), which count positions from the padding id on, DistilBERT
// (arXiv:1910.01108), which has no token types, and MPNet (arXiv:2004.09297), which adds one bias by distance to the
// scores of all layers. Post-norm, learned absolute positions.
#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

struct Size {
  std::size_t vocabulary, hidden, layers, heads, intermediate, positions, token_types;
  float eps;
  filbert_activation activation;
  std::optional<std::int64_t> padding_id = std::nullopt;  // where positions are counted from it on
  std::size_t buckets = 0;                                // of distances that have a bias
};

// The parts of a layer.
struct Names {
  std::string layers, query, key, value, attention_out, attention_norm, up, down, output_norm;
};

void refuse_decoders(const ConfigReader& config) {
  for (const char* field : {"is_decoder", "add_cross_attention"})
    if (config.boolean(field, false)) config.fail(field, "false: filbert runs encoders");
}

Size read_bert(const ConfigReader& config, std::int64_t vocabulary = 30522) {
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  config.one_of("feed_forward_type", "original", {"original"});  // of Jina's variants of BERT
  refuse_decoders(config);
  return {
      .vocabulary = size(config.positive_int("vocab_size", vocabulary, kVocabulary)),
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

Size read_roberta(const ConfigReader& config, std::int64_t vocabulary) {
  Size found = read_bert(config, vocabulary);
  if (config.is_null("pad_token_id")) config.fail("pad_token_id", "an integer: positions are counted from it on");
  const std::int64_t padding_id = config.non_negative_int("pad_token_id", 1, kVocabulary);
  found.padding_id = padding_id;
  if (size(padding_id) + 1 >= found.positions)
    config.fail("pad_token_id", "less than max_position_embeddings - 1 (" + std::to_string(found.positions - 1) +
                                    "): positions are counted from it on");
  return found;
}

Size read_distilbert(const ConfigReader& config) {
  // transformers takes the usual names for these, too.
  const auto name = [&](const char* own, const char* usual) {
    if (config.has(own) && config.has(usual)) config.fail(usual, "no second name beside " + std::string(own));
    return config.has(usual) ? usual : own;
  };
  const char* const dim = name("dim", "hidden_size");
  const char* const n_heads = name("n_heads", "num_attention_heads");
  const std::int64_t hidden = config.positive_int(dim, 768, kHiddenSize);
  const std::int64_t heads = config.positive_int(n_heads, 12, kHeads);
  config.require_divisible(dim, hidden, n_heads, heads);
  refuse_decoders(config);
  return {
      .vocabulary = size(config.positive_int("vocab_size", 30522, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int(name("n_layers", "num_hidden_layers"), 6, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("hidden_dim", 3072, kIntermediateSize)),
      .positions = size(config.positive_int("max_position_embeddings", 512, kPositions)),
      .token_types = 0,
      .eps = 1e-12f,  // transformers has no setting for it
      .activation = read_activation(config, "activation", "gelu"),
  };
}

// transformers has no setting for these: which bucket a distance falls into is fixed, and needs all of them.
constexpr std::int64_t kMpnetPaddingId = 1;
constexpr std::size_t kBuckets = 32;

Size read_mpnet(const ConfigReader& config) {
  Size found = read_bert(config, 30527);
  // Positions are counted from the padding id on, which is the last that no token has.
  const auto positions = config.optional_int("max_position_embeddings", kMpnetPaddingId + 2, kPositions);
  const auto buckets = config.optional_int("relative_attention_num_buckets", kBuckets, kPositions);  // of the table
  found.positions = size(positions.value_or(512));
  found.token_types = 0;
  found.padding_id = kMpnetPaddingId;
  found.buckets = size(buckets.value_or(kBuckets));
  return found;
}

Names bert_names() {
  return {"encoder.layer.",       "attention.self.query",   "attention.self.key",
          "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
          "intermediate.dense",   "output.dense",           "output.LayerNorm"};
}

Names distilbert_names() {
  return {"transformer.layer.", "attention.q_lin", "attention.k_lin", "attention.v_lin",  "attention.out_lin",
          "sa_layer_norm",      "ffn.lin1",        "ffn.lin2",        "output_layer_norm"};
}

Names mpnet_names() {
  return {"encoder.layer.",      "attention.attn.q",   "attention.attn.k", "attention.attn.v", "attention.attn.o",
          "attention.LayerNorm", "intermediate.dense", "output.dense",     "output.LayerNorm"};
}

// Further away, every distance is in the last bucket of its side.
constexpr std::int64_t kReach = 128;

// Of a key `distance` columns after the query. Half of the buckets are for each side; of those, half are for one
// distance each, and the others grow: 8 + floor(8 log(distance / 8) / log(128 / 8)), at most 15. That is
// 8 + floor(log2(distance^2 / 64)), which integers compute without rounding. It is 16 or more from 128 on.
std::size_t bucket_of(std::int64_t distance) {
  const auto away = static_cast<std::uint64_t>(distance < 0 ? -distance : distance);
  const std::size_t of_side = away < 8 ? away : std::min<std::size_t>(15, 1 + std::bit_width(away * away));
  return of_side + (distance > 0 ? kBuckets / 2 : 0);
}

// From the table [buckets, heads] to [heads, 2 reach + 1].
std::vector<float> bias_by_distance(const std::vector<float>& table, std::size_t heads) {
  std::vector<float> result;
  for (std::size_t head = 0; head < heads; ++head)
    for (std::int64_t distance = -kReach; distance <= kReach; ++distance)
      result.push_back(table[bucket_of(distance) * heads + head]);
  return result;
}

struct Layer {
  Linear qkv, attention_out, up, down;
  Norm attention_norm, output_norm;
};

class Bert : public Encoder {
 public:
  Bert(const Size& sizes, const Names& names, Tensors& tensors) : config_(sizes) {
    using Init = Tensors::Init;
    const std::size_t hidden = sizes.hidden;
    const Init position_init = sizes.padding_id ? Init::normal_padding_zero : Init::normal;
    word_ = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, hidden, Init::normal_padding_zero);
    position_ = tensors.table("embeddings.position_embeddings.weight", sizes.positions, hidden, position_init);
    if (sizes.token_types > 0)
      type_ = tensors.table("embeddings.token_type_embeddings.weight", sizes.token_types, hidden);
    embedding_norm_ = make_layer_norm(tensors, "embeddings.LayerNorm", hidden, sizes.eps);
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = names.layers + std::to_string(i) + ".";
      const Norm& input = i == 0 ? embedding_norm_ : layers_.back().output_norm;
      Layer layer;
      layer.qkv =
          make_linear(tensors, {{name + names.query, hidden}, {name + names.key, hidden}, {name + names.value, hidden}},
                      hidden, &input);
      layer.attention_out = make_linear(tensors, {{name + names.attention_out, hidden}}, hidden);
      layer.attention_norm = make_layer_norm(tensors, name + names.attention_norm, hidden, sizes.eps);
      layer.up = make_linear(tensors, {{name + names.up, sizes.intermediate}}, hidden, &layer.attention_norm);
      layer.down = make_linear(tensors, {{name + names.down, hidden}}, sizes.intermediate);
      layer.output_norm = make_layer_norm(tensors, name + names.output_norm, hidden, sizes.eps);
      layers_.push_back(std::move(layer));
    }
    if (sizes.buckets > 0)
      bias_ = tensors.computed({"encoder.relative_attention_bias.weight", sizes.buckets}, sizes.heads,
                               [&](const std::vector<float>& table) { return bias_by_distance(table, sizes.heads); });
  }

  Dimensions dimensions() const override {
    InputRules inputs = {.vocabulary = config_.vocabulary,
                         .token_types = config_.token_types,
                         .positions = config_.positions,
                         .longest = config_.positions};
    if (config_.padding_id) {
      inputs.rule = InputRules::Positions::of_ids;
      inputs.padding_id = *config_.padding_id;
      inputs.longest -= size(inputs.padding_id) + 1;
    }
    return {inputs, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden;
    const std::size_t head_size = hidden / config_.heads;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * hidden);
    void* context = arena.activations(batch.tokens, hidden);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
    attention.bias = bias_;
    attention.bias_reach = size(kReach);

    ops.token_ops({embed({batch.ids, batch.types, batch.positions, word_, type_, position_, hidden, sum},
                         FILBERT_NEXT_ALONE),  // [tokens, hidden]
                   embedding_norm_(sum, x)},   // [tokens, hidden]
                  batch.tokens);
    trace.hidden_state(x);
    for (const Layer& layer : layers_) {
      const Rows wanted = &layer == &layers_.back() ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      trace.next_attention(attention);
      ops.token_ops({layer.qkv.to_heads(x, qkv, head_size)}, batch.tokens);  // [tokens, 3 hidden]
      ops.attention(attention);                                              // [tokens, hidden]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      ops.token_ops({layer.attention_out(context, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),  // [tokens, hidden]
                     layer.attention_norm(sum, x, FILBERT_NEXT_AND_OTHERS),                       // [tokens, hidden]
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
  Size config_;
  Weight word_, type_, position_, bias_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<Encoder> bert(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Bert>(read_bert(config), bert_names(), tensors);
}

std::unique_ptr<Head> bert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const std::size_t hidden = read_bert(config).hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return sequence_classifier(config, tensors, hidden, {"pooler.dense", FILBERT_TANH, Tensors::Owner::base},
                               "classifier");
  return nullptr;
}

template <int Vocabulary>
std::unique_ptr<Encoder> roberta(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Bert>(read_roberta(config, Vocabulary), bert_names(), tensors);
}

std::unique_ptr<Head> roberta_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const std::size_t hidden = read_bert(config).hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return sequence_classifier(config, tensors, hidden, {"classifier.dense", FILBERT_TANH}, "classifier.out_proj");
  return nullptr;
}

std::unique_ptr<Encoder> distilbert(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Bert>(read_distilbert(config), distilbert_names(), tensors);
}

std::unique_ptr<Head> distilbert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (task != Task::sequence_classification) return nullptr;
  return sequence_classifier(config, tensors, read_distilbert(config).hidden, {"pre_classifier", FILBERT_RELU},
                             "classifier");
}

std::unique_ptr<Encoder> mpnet(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Bert>(read_mpnet(config), mpnet_names(), tensors);
}

}  // namespace

extern const Family kBert = {"bert", "bert.", bert, bert_head};
extern const Family kRoberta = {"roberta", "roberta.", roberta<50265>, roberta_head};
extern const Family kXlmRoberta = {"xlm-roberta", "roberta.", roberta<30522>, roberta_head};
extern const Family kCamembert = {"camembert", "roberta.", roberta<30522>, roberta_head};
extern const Family kDistilbert = {"distilbert", "distilbert.", distilbert, distilbert_head};
extern const Family kMpnet = {"mpnet", "mpnet.", mpnet, roberta_head};

}  // namespace filbert
