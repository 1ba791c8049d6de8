// ESM, language models of proteins: ESM-2 (Lin et al., https://doi.org/10.1126/science.ade2574) with rotary positions,
// ESM-1b (Rives et al., https://doi.org/10.1073/pnas.2016239118) with learned ones. Pre-norm BERT, whose masked tokens
// count as words that dropout took.
#include <string>
#include <utility>
#include <vector>

#include "models/attention_settings.h"
#include "models/bert_encoder.h"
#include "models/heads.h"
#include "models/layers.h"
#include "models/rotation.h"

namespace filbert {
namespace {

using namespace config_limits;

// The share of the words that were there in training: 15% of the tokens were chosen, and 80% of these masked.
constexpr float kWordsInTraining = 0.88f;

struct Size {
  std::size_t vocabulary, hidden, layers, heads, intermediate, positions;
  float eps;
  bool norms_embeddings;
  std::optional<std::int64_t> dropped_id;  // with token dropout, the mask's
  std::optional<std::int64_t> padding_id;  // of learned positions, which are counted from it
  double theta;                            // of rotary ones
};

std::int64_t read_counted_id(const ConfigReader& config, std::size_t positions) {
  const auto id = config.optional_int("pad_token_id", 0, kVocabulary);
  if (!id) config.fail_with("pad_token_id: found none, expected an integer: positions are counted from it on");
  check_counted_id(config, *id, positions);
  return *id;
}

Size read(const ConfigReader& config) {
  refuse_decoders(config);
  if (config.boolean("is_folding_model", false))
    config.fail("is_folding_model", "false: filbert has the language model of ESMFold's, not the rest");
  if (!config.boolean("add_bias_fnn", true))
    config.fail("add_bias_fnn", "true: without, the feed-forward layer is a gated one (nucleotide-transformer-v2)");
  for (const char* field : {"rope_scaling", "rope_parameters"})
    if (config.has(field)) config.fail(field, "none: transformers knows rope_theta alone here");
  if (config.is_null("position_embedding_type"))
    config.fail("position_embedding_type", "\"absolute\" or \"rotary\": transformers has no positions at all then");
  const bool is_rotary = config.one_of("position_embedding_type", "absolute", {"absolute", "rotary"}) == "rotary";
  const std::int64_t hidden = config.positive_int("hidden_size", 768, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 12, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  if (is_rotary) rotary_head_size(config, "hidden_size", hidden, "num_attention_heads", heads);
  Size found = {
      .vocabulary = size(config.positive_int("vocab_size", kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", 12, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", 3072, kIntermediateSize)),
      .positions = size(config.positive_int("max_position_embeddings", 1026, kPositions)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-12)),
      .norms_embeddings = config.boolean("emb_layer_norm_before", false),
      .dropped_id = std::nullopt,
      .padding_id = std::nullopt,
      .theta = config.positive_number("rope_theta", 10000),
  };
  if (!is_rotary) found.padding_id = read_counted_id(config, found.positions);
  if (config.boolean("token_dropout", false)) {
    found.dropped_id = config.optional_int("mask_token_id", 0, kVocabulary);
    if (!found.dropped_id)
      config.fail_with("mask_token_id: found none, expected an integer: token_dropout takes its words out");
    if (found.dropped_id == config.optional_int("pad_token_id", 0, kVocabulary))
      config.fail("mask_token_id", "another than pad_token_id: token_dropout would count padding");
  }
  return found;
}

// Files have them, of which transformers takes those of the first layer that has any, or what itself saves under a name
// with an asterisk.
Weight make_frequencies(Tensors& tensors, const Size& sizes) {
  const std::string buffer = "rotary_embeddings.inv_freq", in_layer = ".attention.self." + buffer;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < sizes.layers; ++i) names.push_back("encoder.layer." + std::to_string(i) + in_layer);
  names.insert(names.end(), {"encoder.layer.*" + in_layer, buffer});
  const std::size_t head_size = sizes.hidden / sizes.heads;
  for (const std::string& name : names)
    if (tensors.has(name)) return tensors.vector({{name, head_size / 2}}, Tensors::Init::ones);
  return tensors.numbers(rotary_frequencies(sizes.theta, head_size));
}

struct Layer {
  Norm attention_norm;
  Linear qkv;
  PreNormTail tail;
};

class Esm : public Encoder {
 public:
  Esm(const Size& sizes, Tensors& tensors) : config_(sizes) {
    const std::size_t hidden = sizes.hidden;
    const auto make_norm = [&](const std::string& name) { return make_layer_norm(tensors, name, hidden, sizes.eps); };
    constexpr auto kInit = Tensors::Init::normal_padding_zero;
    word_ = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, hidden, kInit);
    if (sizes.padding_id)
      position_ = tensors.table("embeddings.position_embeddings.weight", sizes.positions, hidden, kInit);
    else
      frequencies_ = make_frequencies(tensors, sizes);
    if (sizes.norms_embeddings) embedding_norm_ = make_norm("embeddings.layer_norm");
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "encoder.layer." + std::to_string(i) + ".", self = name + "attention.self.";
      Layer layer;
      layer.attention_norm = make_norm(name + "attention.LayerNorm");
      layer.qkv = make_qkv(tensors, {{self + "query", hidden}, {self + "key", hidden}, {self + "value", hidden}},
                           hidden, layer.attention_norm.names);
      layer.tail.attention_out = make_linear(tensors, {{name + "attention.output.dense", hidden}}, hidden);
      layer.tail.mlp_norm = make_norm(name + "LayerNorm");
      layer.tail.up =
          make_linear(tensors, {{name + "intermediate.dense", sizes.intermediate}}, hidden, layer.tail.mlp_norm.names);
      layer.tail.down = make_linear(tensors, {{name + "output.dense", hidden}}, sizes.intermediate);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_norm("encoder.emb_layer_norm_after");
    // Contacts are not computed; what is saved keeps the tensors that they need.
    if (tensors.has("contact_head.regression.weight"))
      make_linear(tensors, {{"contact_head.regression", 1}}, sizes.layers * sizes.heads);
  }

  Dimensions dimensions() const override {
    InputRules inputs = rotary_inputs(config_.vocabulary, config_.positions);
    if (config_.padding_id) {
      inputs.positions = config_.positions;
      inputs.longest = config_.positions - size(*config_.padding_id) - 1;
      inputs.rule = InputRules::Positions::of_ids;
      inputs.padding_id = *config_.padding_id;
    }
    inputs.dropped = config_.dropped_id;
    return {inputs, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, head_size = hidden / config_.heads;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * hidden);
    void* context = arena.activations(batch.tokens, hidden);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
    // Heads of q and k lie side by side, and turn together.
    const filbert_token_op turn =
        rope({attention.q, 2 * config_.heads, head_size, batch.positions, frequencies_, head_size});

    const float word_scale = config_.dropped_id ? kWordsInTraining : 1;
    const auto embedding = [&](void* out, filbert_readers readers) {
      return embed(embed_of(batch, word_, {}, position_, hidden, out, word_scale), readers);
    };
    if (config_.norms_embeddings)
      ops.token_ops({embedding(sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)}, batch.tokens);  // [tokens, hidden]
    else
      ops.token_ops({embedding(x, FILBERT_OTHERS)}, batch.tokens);  // [tokens, hidden]
    if (batch.key_begin || batch.key_end) {
      ops.neighbours({&batch, x, hidden, 0, sum});  // x, but zeros where a token is query-only
      std::swap(x, sum);
    }
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size();
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      trace.next_attention(attention);
      const filbert_token_op norm = layer.attention_norm(x, normed, FILBERT_NEXT_ALONE);  // [tokens, hidden]
      const filbert_token_op projection = layer.qkv.to_heads(normed, qkv, head_size);     // [tokens, 3 hidden]
      if (config_.padding_id)
        ops.token_ops({norm, projection}, batch.tokens);
      else
        ops.token_ops({norm, projection, turn}, batch.tokens);
      ops.attention(attention);  // [tokens, hidden]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      layer.tail(ops, context, x, sum, normed, inner, FILBERT_GELU_ERF, tokens);  // [tokens, hidden]
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
  Weight word_, position_, frequencies_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  Norm final_norm_;
};

std::unique_ptr<Encoder> esm(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Esm>(read(config), tensors);
}

// RoBERTa's, but for answers.
std::unique_ptr<Head> esm_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (task == Task::question_answering) return nullptr;
  const Size sizes = read(config);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

}  // namespace

// Files of models with rotary positions may hold a table of learned ones, too.
extern const Family kEsm = {"esm", {"esm."}, esm, esm_head, "", "", {"embeddings.position_embeddings."}};

}  // namespace filbert
