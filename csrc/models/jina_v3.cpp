// jina-embeddings-v3 (Sturua et al., arXiv:2409.10173): XLM-R with rotary positions, and an adapter for each task.
#include <algorithm>
#include <optional>
#include <string>

#include "models/rotary_bert.h"

namespace filbert {
namespace {

using namespace config_limits;

RotaryBertNames jina_v3_hub_names() {
  return {.embedding_norm = "emb_ln",
          .layers = "encoder.layers.",
          .qkv = {"mixer.Wqkv"},
          .attention_out = "mixer.out_proj",
          .attention_norm = "norm1",
          .up = {"mlp.fc1"},
          .down = "mlp.fc2",
          .output_norm = "norm2"};
}

constexpr RotaryBertDefaults kJinaV3Defaults = {250002, 1024, 24, 16, 4096, 8194, 1, 1e-5, 20000};

std::unique_ptr<Encoder> jina_v3(const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("encoder.layers.0.mixer.Wqkv.weight");
  return std::make_unique<RotaryBert>(read_rotary_bert(config, kJinaV3Defaults),
                                      from_hub ? jina_v3_hub_names() : native_names(false), tensors);
}

// The adapter of the task that the setting `task` names; without one, the weights as they are.
void add_adapter(const ConfigReader& config, Tensors& tensors) {
  const auto tasks = config.strings("lora_adaptations");
  if (!tasks) {
    if (config.has("task")) config.fail("task", "none: lora_adaptations names no tasks");
    return;
  }
  const std::size_t rank = size(config.positive_int("lora_rank", 4, kHiddenSize));
  const double alpha = config.positive_number("lora_alpha", 1);
  LowRank changes = {tasks->size(), rank, static_cast<float>(alpha / static_cast<double>(rank)), std::nullopt};
  if (config.has("task")) {
    const auto found = std::find(tasks->begin(), tasks->end(), config.string("task"));
    std::string known;
    for (const std::string& task : *tasks) known += (known.empty() ? "" : ", ") + task;
    if (found == tasks->end()) config.fail("task", "one of " + known);
    changes.chosen = static_cast<std::size_t>(found - tasks->begin());
  }
  tensors.change(changes);
  if (changes.chosen && tensors.loads() && !tensors.has("embeddings.word_embeddings.parametrizations.weight.original"))
    config.fail("task", "none: the weights have no adapters");
}

// On the hub its model_type is "xlm-roberta".
std::unique_ptr<Encoder> jina_v3_from_hub(const ConfigReader& config, Tensors& tensors) {
  RotaryBertDefaults defaults = kJinaV3Defaults;
  defaults.theta = config.positive_number("rotary_emb_base", 10000);
  refuse_other_rotations(config);
  add_adapter(config, tensors);
  return std::make_unique<RotaryBert>(read_rotary_bert(config, defaults), jina_v3_hub_names(), tensors);
}

std::unique_ptr<Head> jina_v3_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (config.has("position_embedding_type")) add_adapter(config, tensors);  // of the hub
  const RotaryBertSize sizes = read_rotary_bert(config, kJinaV3Defaults);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

}  // namespace

extern const Family kJinaV3 = {"jina_embeddings_v3", {"roberta."}, jina_v3, jina_v3_head};
extern const Family kJinaV3Hub = {"xlm-roberta", {"roberta."}, jina_v3_from_hub, jina_v3_head, "rotary"};

}  // namespace filbert
