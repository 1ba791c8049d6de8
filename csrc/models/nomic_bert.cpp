// nomic (Nussbaum et al., arXiv:2402.01613): rotary positions and gated feed-forward layers, or mixtures of experts
// (Nussbaum and Duderstadt, arXiv:2502.07972).
#include <optional>
#include <string>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/rotary_bert.h"

namespace filbert {
namespace {

using namespace config_limits;

// In the files of its authors alone: transformers has none.
std::optional<Mixtures> read_mixtures(const ConfigReader& config) {
  const std::int64_t experts = config.non_negative_int("num_experts", 0, kExperts);
  if (experts == 0) {
    if (config.non_negative_int("moe_every_n_layers", 0, kLayers) > 0)
      config.fail("moe_every_n_layers", "none: num_experts names no experts");
    return std::nullopt;
  }
  for (const char* field : {"expert_choice_router", "moe_normalize_expert_weights"}) refuse(config, field);
  config.one_of("moe_impl", "megablocks", {"megablocks"});
  if (config.non_negative_int("num_shared_experts", 0, kExperts) > 0) config.fail("num_shared_experts", "0");
  if (config.positive_int("ffn_div", 1, kIntermediateSize) > 1)
    config.fail("ffn_div", "1: experts are as wide as the other layers");
  const std::int64_t chosen = config.positive_int("moe_top_k", experts);
  return Mixtures{size(config.positive_int("moe_every_n_layers", kLayers)), size(experts), size(chosen)};
}

// Its files have GPT-2's names of settings, transformers BERT's.
RotaryBertSize read_nomic(const ConfigReader& config) {
  for (const char* field : {"prenorm", "use_rms_norm", "rotary_emb_interleaved", "causal", "parallel_block",
                            "scale_attn_by_inverse_layer_idx"})
    refuse(config, field);
  // What the authors' defaults are is not what transformers' are, so files in their words must say it.
  for (const char* field : {"activation_function", "rotary_emb_base", "rotary_emb_fraction", "layer_norm_epsilon",
                            "qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"})
    if (config.has("n_embd") && !config.has(field))
      config.fail_with(std::string(field) + ": missing, expected beside n_embd");
  if (config.has("rotary_emb_base")) config.one_name("rotary_emb_base", "rope_theta");
  if (config.has("rotary_emb_scale_base")) config.fail("rotary_emb_scale_base", "null");
  if (config.positive_number("rotary_emb_fraction", 1.0) != 1.0)
    config.fail("rotary_emb_fraction", "1: heads turn as a whole");
  const char* const hidden_name = config.one_name("hidden_size", "n_embd");
  const char* const heads_name = config.one_name("num_attention_heads", "n_head");
  const char* const inner_name = config.one_name("intermediate_size", "n_inner");
  const std::int64_t hidden = config.positive_int(hidden_name, 768, kHiddenSize);
  const std::int64_t heads = config.positive_int(heads_name, 12, kHeads);
  const std::size_t head_size = rotary_head_size(config, hidden_name, hidden, heads_name, heads);
  check_head_size(config, head_size, hidden_name);
  // Some files have both, of which the first is how long the texts were that it learned from.
  const char* const positions_name = config.has("max_position_embeddings") ? "max_position_embeddings" : "n_positions";
  // As n_inner is called, its default is GPT-2's.
  const std::int64_t inner = config.has("n_embd") ? 4 * hidden : 3072;
  const char* const eps_name = config.one_name("layer_norm_eps", "layer_norm_epsilon");
  const double theta = config.positive_number("rotary_emb_base", 1000);
  const std::size_t longest = size(config.positive_int(positions_name, 2048, kPositions));
  RotaryBertSize found = {
      .vocabulary = size(config.positive_int("vocab_size", 30528, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int(config.one_name("num_hidden_layers", "n_layer"), 12, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int(inner_name, inner, kIntermediateSize)),
      .longest = longest,
      .token_types = size(config.non_negative_int("type_vocab_size", 2, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number(eps_name, 1e-12)),
      .attention_bias = config.boolean("qkv_proj_bias", false),
      .up_bias = config.boolean("mlp_fc1_bias", false),
      .down_bias = config.boolean("mlp_fc2_bias", false),
      .is_gated = true,
      .activation = FILBERT_SILU,
      .rotation = read_rotation(config, {theta, head_size, longest}),
  };
  // Beyond the positions that were trained, this one turns slower the longer a text is.
  if (config.has("rotary_scaling_factor"))
    found.limit = size(config.positive_int("max_trained_positions", 2048, kPositions));
  if (config.has("activation_function")) {
    // Of a layer without a gate. By the name of any other, the authors' code computes this one too.
    const std::string name = config.one_of("activation_function", "", {"swiglu", "geglu", "glu", "gelu"});
    found.is_gated = name != "gelu";
    found.activation = name == "swiglu" ? FILBERT_SILU : name == "glu" ? FILBERT_SIGMOID : FILBERT_GELU_ERF;
  } else {
    found.activation = read_activation(config, "hidden_act", "silu");
  }
  found.mixtures = read_mixtures(config);
  if (found.mixtures && found.is_gated)
    config.fail("num_experts", "0 beside layers with a gate (activation_function): experts have none");
  return found;
}

RotaryBertNames nomic_hub_names(bool is_gated) {
  const std::vector<std::string> gated = {"mlp.fc12", "mlp.fc11"}, plain = {"mlp.fc1"};
  return {.embedding_norm = "emb_ln",
          .layers = "encoder.layers.",
          .qkv = {"attn.Wqkv"},
          .attention_out = "attn.out_proj",
          .attention_norm = "norm1",
          .up = is_gated ? gated : plain,
          .down = "mlp.fc2",
          .output_norm = "norm2"};
}

std::unique_ptr<Encoder> nomic(const ConfigReader& config, Tensors& tensors) {
  const RotaryBertSize sizes = read_nomic(config);
  const bool from_hub = !sizes.is_gated || tensors.has("encoder.layers.0.attn.Wqkv.weight");
  return std::make_unique<RotaryBert>(sizes, from_hub ? nomic_hub_names(sizes.is_gated) : native_names(true), tensors);
}

std::unique_ptr<Head> nomic_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const RotaryBertSize sizes = read_nomic(config);
  if (task != Task::masked_lm) return labels_head(task, config, tensors, sizes.hidden);
  const std::string name = "cls.predictions.";
  return words(config, tensors,
               inner_layer(tensors, name + "transform.dense", sizes.hidden, sizes.hidden, sizes.activation,
                           name + "transform.layer_norm", sizes.eps),
               {"embeddings.word_embeddings.weight", name + "decoder", name + "bias"}, sizes.vocabulary);
}

constexpr std::string_view kNativePrefix = "nomic_bert.", kHubPrefix = "bert.";

// Mixtures of experts are saved for the code of their authors.
std::string_view nomic_saved_prefix(const ConfigReader& config) {
  return read_mixtures(config) ? kHubPrefix : kNativePrefix;
}

}  // namespace

extern const Family kNomicBert = {
    .model_type = "nomic_bert",
    .prefixes = {kNativePrefix, kHubPrefix},
    .encoder = nomic,
    .head = nomic_head,
    .saved_prefix = nomic_saved_prefix,
};

}  // namespace filbert
