// MPNet (Song et al., arXiv:2004.09297): BERT's layers, without token types, and one bias by distance for all layers
// (Raffel et al., arXiv:1910.10683, section 2.1).
#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

// transformers has no setting for these.
constexpr std::int64_t kPaddingId = 1;
constexpr std::size_t kBuckets = 32;

struct Size {
  std::size_t vocabulary, hidden, layers, heads, intermediate, positions, buckets;
  float eps;
  filbert_activation activation;
};

Size read(const ConfigReader& config) {
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  // Positions are counted from the padding id on, which is the last that no token has.
  const auto positions = config.optional_int("max_position_embeddings", kPaddingId + 2, kPositions);
  // The configuration sizes the table only: which bucket a distance falls into is fixed, and needs all of them.
  const auto buckets = config.optional_int("relative_attention_num_buckets", kBuckets, kPositions);
  return {
      .vocabulary = size(config.positive_int("vocab_size", 30527, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", 12, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", 3072, kIntermediateSize)),
      .positions = size(positions.value_or(512)),
      .buckets = size(buckets.value_or(kBuckets)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-12)),
      .activation = read_activation(config, "hidden_act", "gelu"),
  };
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

class MPNet : public Encoder {
 public:
  MPNet(const Size& sizes, Tensors& tensors) : config_(sizes) {
    using Init = Tensors::Init;
    const std::size_t hidden = sizes.hidden;
    word_ = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, hidden, Init::normal_padding_zero);
    position_ =
        tensors.table("embeddings.position_embeddings.weight", sizes.positions, hidden, Init::normal_padding_zero);
    embedding_norm_ = make_layer_norm(tensors, "embeddings.LayerNorm", hidden, sizes.eps);
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "encoder.layer." + std::to_string(i) + ".";
      const std::string attention = name + "attention.attn.";
      const Norm& input = i == 0 ? embedding_norm_ : layers_.back().output_norm;
      Layer layer;
      layer.qkv = make_linear(
          tensors, {{attention + "q", hidden}, {attention + "k", hidden}, {attention + "v", hidden}}, hidden, &input);
      layer.attention_out = make_linear(tensors, {{attention + "o", hidden}}, hidden);
      layer.attention_norm = make_layer_norm(tensors, name + "attention.LayerNorm", hidden, sizes.eps);
      layer.up =
          make_linear(tensors, {{name + "intermediate.dense", sizes.intermediate}}, hidden, &layer.attention_norm);
      layer.down = make_linear(tensors, {{name + "output.dense", hidden}}, sizes.intermediate);
      layer.output_norm = make_layer_norm(tensors, name + "output.LayerNorm", hidden, sizes.eps);
      layers_.push_back(std::move(layer));
    }
    bias_ = tensors.computed({"encoder.relative_attention_bias.weight", sizes.buckets}, sizes.heads,
                             [&](const std::vector<float>& table) { return bias_by_distance(table, sizes.heads); });
  }

  Dimensions dimensions() const override {
    const InputRules inputs = {.vocabulary = config_.vocabulary,
                               .positions = config_.positions,
                               .longest = config_.positions - size(kPaddingId) - 1,
                               .rule = InputRules::Positions::of_ids,
                               .padding_id = kPaddingId};
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

    filbert_attention_args attention = {};
    attention.batch = &batch;
    attention.q = {qkv, 3 * hidden, 0};
    attention.k = {qkv, 3 * hidden, hidden};
    attention.v = {qkv, 3 * hidden, 2 * hidden};
    attention.heads = attention.kv_heads = config_.heads;
    attention.head_size = head_size;
    attention.scale = 1.0f / std::sqrt(static_cast<float>(head_size));
    attention.bias = bias_;
    attention.bias_reach = size(kReach);
    attention.out = context;

    ops.token_ops({embed({batch.ids, batch.types, batch.positions, word_, nullptr, position_, hidden, sum},
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
  Weight word_, position_, bias_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
};

std::unique_ptr<Encoder> mpnet(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<MPNet>(read(config), tensors);
}

std::unique_ptr<Head> mpnet_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const std::size_t hidden = read(config).hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return sequence_classifier(config, tensors, hidden, {"classifier.dense", FILBERT_TANH}, "classifier.out_proj");
  return nullptr;
}

}  // namespace

extern const Family kMpnet = {"mpnet", "mpnet.", mpnet, mpnet_head};

}  // namespace filbert
