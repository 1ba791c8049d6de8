// gte (Zhang et al., arXiv:2407.19669): rotary positions and gated feed-forward layers.
#include <string>

#include "models/rotary_bert.h"

namespace filbert {
namespace {

using namespace config_limits;

RotaryBertSize read_gte(const ConfigReader& config, const RotaryBertDefaults& defaults) {
  config.one_of("position_embedding_type", "rope", {"rope"});
  config.one_of("layer_norm_type", "layer_norm", {"layer_norm"});
  for (const char* field : {"logn_attention_scale", "logn_attention_clip1"}) refuse(config, field);
  RotaryBertSize found = read_rotary_bert(config, defaults);
  found.is_gated = true;
  found.up_bias = false;
  return found;
}

RotaryBertNames gte_hub_names(bool is_packed) {
  const std::vector<std::string> packed = {"attention.qkv_proj"};
  const std::vector<std::string> apart = {"attention.q_proj", "attention.k_proj", "attention.v_proj"};
  return {.embedding_norm = "embeddings.LayerNorm",
          .layers = "encoder.layer.",
          .qkv = is_packed ? packed : apart,
          .attention_out = "attention.o_proj",
          .attention_norm = "attn_ln",
          .up = {"mlp.up_gate_proj"},
          .gate = Tensors::Gate::lower,
          .down = "mlp.down_proj",
          .output_norm = "mlp_ln"};
}

constexpr RotaryBertDefaults kGteDefaults = {250048, 768, 12, 12, 3072, 8192, 1, 1e-12, 160000};
constexpr RotaryBertDefaults kNewDefaults = {30528, 768, 12, 12, 3072, 2048, 1, 1e-12, 10000};

// As transformers has it, or as the hub: there its model_type is "new".
std::unique_ptr<Encoder> gte(const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("encoder.layer.0.attn_ln.weight");
  const RotaryBertNames names = from_hub ? gte_hub_names(config.boolean("pack_qkv", true)) : native_names(true);
  return std::make_unique<RotaryBert>(read_gte(config, kGteDefaults), names, tensors);
}

std::unique_ptr<Encoder> new_(const ConfigReader& config, Tensors& tensors) {
  refuse_other_rotations(config);
  const bool from_transformers = tensors.has("layers.0.post_attention_layernorm.weight");
  const RotaryBertNames names =
      from_transformers ? native_names(true) : gte_hub_names(config.boolean("pack_qkv", true));
  return std::make_unique<RotaryBert>(read_gte(config, kNewDefaults), names, tensors);
}

std::unique_ptr<Head> gte_head(Task task, const ConfigReader& config, Tensors& tensors, const RotaryBertSize& sizes,
                               const std::string& norm) {
  if (task != Task::masked_lm) return labels_head(task, config, tensors, sizes.hidden);
  return words(config, tensors,
               inner_layer(tensors, "lm_head.dense", sizes.hidden, sizes.hidden, FILBERT_GELU_ERF, norm, sizes.eps),
               {"embeddings.word_embeddings.weight", "lm_head.decoder", ""}, sizes.vocabulary);
}

std::unique_ptr<Head> gte_native_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("lm_head.norm.weight");
  return gte_head(task, config, tensors, read_gte(config, kGteDefaults),
                  from_hub ? "lm_head.norm" : "lm_head.layer_norm");
}

std::unique_ptr<Head> gte_hub_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const bool from_transformers = tensors.has("lm_head.layer_norm.weight");
  return gte_head(task, config, tensors, read_gte(config, kNewDefaults),
                  from_transformers ? "lm_head.layer_norm" : "lm_head.norm");
}

}  // namespace

extern const Family kGte = {"gte", {"gte.", "new."}, gte, gte_native_head};
extern const Family kNew = {"new", {"new.", "gte."}, new_, gte_hub_head};

}  // namespace filbert
