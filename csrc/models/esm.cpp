// ESM, language models of proteins: ESM-2 (Lin et al., https://doi.org/10.1126/science.ade2574) with rotary positions,
// ESM-1b (Rives et al., https://doi.org/10.1073/pnas.2016239118) with learned ones. Pre-norm BERT, whose masked tokens
// count as words that dropout took.
#include <string>
#include <utility>
#include <vector>

#include "models/attention_settings.h"
#include "models/heads.h"
#include "models/pre_norm_layers.h"
#include "models/rotation.h"

namespace filbert {
namespace {

using namespace config_limits;

// The share of the words that were there in training: 15% of the tokens were chosen, and 80% of these masked.
constexpr float kWordsInTraining = 0.88f;

struct Size : BertSize {
  bool norms_embeddings;
  std::optional<std::int64_t> dropped_id;  // with token dropout, the mask's
  double theta;                            // of rotary positions
};

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
      BertSize{
          .vocabulary = size(config.positive_int("vocab_size", kVocabulary)),
          .hidden = size(hidden),
          .layers = size(config.positive_int("num_hidden_layers", 12, kLayers)),
          .heads = size(heads),
          .intermediate = size(config.positive_int("intermediate_size", 3072, kIntermediateSize)),
          .positions = size(config.positive_int("max_position_embeddings", 1026, kPositions)),
          .token_types = 0,
          .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-12)),
          .activation = FILBERT_GELU_ERF,
          .has_positions = !is_rotary,
      },
      config.boolean("emb_layer_norm_before", false),
      std::nullopt,
      config.positive_number("rope_theta", 10000),
  };
  if (!is_rotary) {
    if (!config.has("pad_token_id"))
      config.fail_with("pad_token_id: found none, expected an integer: positions are counted from it on");
    count_positions(config, found);
  }
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

class Esm : public Encoder {
 public:
  Esm(const Size& sizes, Tensors& tensors)
      : config_(sizes),
        tables_(sizes, tensors),
        embedding_norm_(sizes.norms_embeddings
                            ? make_layer_norm(tensors, "embeddings.layer_norm", sizes.hidden, sizes.eps)
                            : Norm()),
        layers_(sizes, {"attention.LayerNorm", "LayerNorm", "encoder.emb_layer_norm_after"}, tensors,
                sizes.has_positions ? Weight() : make_frequencies(tensors, sizes)) {
    // Contacts are not computed; what is saved keeps the tensors that they need.
    if (tensors.has("contact_head.regression.weight"))
      make_linear(tensors, {{"contact_head.regression", 1}}, sizes.layers * sizes.heads);
  }

  Dimensions dimensions() const override {
    InputRules inputs =
        config_.has_positions ? bert_inputs(config_) : rotary_inputs(config_.vocabulary, config_.positions);
    inputs.dropped = config_.dropped_id;
    return {inputs, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    void* x = arena.activations(batch.tokens, config_.hidden);
    void* sum = arena.activations(batch.tokens, config_.hidden);
    const float word_scale = config_.dropped_id ? kWordsInTraining : 1;
    if (config_.norms_embeddings)
      ops.token_ops({tables_(batch, sum, FILBERT_NEXT_ALONE, word_scale), embedding_norm_(sum, x)}, batch.tokens);
    else
      ops.token_ops({tables_(batch, x, FILBERT_OTHERS, word_scale)}, batch.tokens);
    if (batch.key_begin || batch.key_end) {
      ops.neighbours({&batch, x, config_.hidden, 0, sum});  // x, but zeros where a token is query-only
      std::swap(x, sum);
    }
    return layers_(run, x, sum);  // [tokens, hidden]
  }

 private:
  Size config_;
  BertTables tables_;
  Norm embedding_norm_;
  PreNormLayers layers_;
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
