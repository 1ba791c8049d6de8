#include "models/registry.h"

#include <filbert/config.h>

#include <algorithm>
#include <string>
#include <utility>

#include "engine/tensor_match.h"
#include "models/heads.h"
#include "models/jina_code.h"
#include "models/static_embedding.h"

namespace filbert {

extern const Family kAlbert, kBert, kCamembert, kData2VecText, kDeberta, kDebertaV2, kDistilbert, kElectra,
    kEmbeddingGemma2, kEmbeddingGemma2Text, kErnie, kEsm, kEurobert, kGemma3Text, kGte, kJinaBert, kJinaV3, kJinaV3Hub,
    kLlama, kMegatronBert, kMistral, kModel2Vec, kModernbert, kMpnet, kMt5, kNew, kNomicBert, kQwen2, kQwen3, kRembert,
    kRoberta, kRobertaPreLayerNorm, kRoformer, kT5, kUltrabert, kUmt5, kXlmRoberta, kXlmRobertaXl;

namespace {

// Of several with one model_type, those that are marked come first.
const Family* const kFamilies[] = {
    &kAlbert,
    &kJinaBert,
    &kBert,
    &kCamembert,
    &kData2VecText,
    &kDeberta,
    &kDebertaV2,
    &kDistilbert,
    &kElectra,
    &kEmbeddingGemma2,
    &kEmbeddingGemma2Text,
    &kErnie,
    &kEsm,
    &kEurobert,
    &kGemma3Text,
    &kGte,
    &kJinaV3,
    &kLlama,
    &kMegatronBert,
    &kMistral,
    &kModel2Vec,
    &kModernbert,
    &kMpnet,
    &kMt5,
    &kNew,
    &kNomicBert,
    &kQwen2,
    &kQwen3,
    &kRembert,
    &kRoberta,
    &kRobertaPreLayerNorm,
    &kRoformer,
    &kT5,
    &kUltrabert,
    &kUmt5,
    &kJinaV3Hub,
    &kXlmRoberta,
    &kXlmRobertaXl,
};

// What no family computes: weights that the file holds quantised, and attention without some of its heads.
void refuse_unsupported(const ConfigReader& config) {
  if (config.has("quantization_config"))
    config.fail("quantization_config",
                "none: the weights must be F32, F16, BF16 or F64 (filbert quantises them itself)");
  const JsonValue* pruned = config.find("pruned_heads");
  if (pruned != nullptr && (pruned->object() == nullptr || !pruned->object()->members().empty()))
    config.fail("pruned_heads", "an empty object");
}

}  // namespace

std::string config_of(const Weights& weights) {
  return is_static_embedding(weights) ? R"({"model_type": "model2vec"})" : "";
}

const Family& find_family(const ConfigReader& config, const std::string& fallback) {
  refuse_unsupported(config);
  std::string known;
  for (const Family* family : kFamilies)
    if (family->position_embedding_type.empty()) known += (known.empty() ? "" : ", ") + std::string(family->model_type);
  const JsonValue* const positions = config.find("position_embedding_type");
  const auto is_marked = [&](std::string_view mark) {
    return positions != nullptr && positions->string() != nullptr && *positions->string() == mark;
  };
  // Jina's do not say what they are.
  const bool is_jinas = is_marked(kJinaV3Hub.position_embedding_type) || names_jina_code(config);
  if (!config.has("model_type") && fallback.empty() && !is_jinas) {
    config.fail_with("model_type is missing; expected one of: " + known +
                     ". Add it, such as \"model_type\": \"bert\", or in Python name the class, such as BertModel");
  }
  const std::string model_type = config.string("model_type", fallback.empty() ? "xlm-roberta" : fallback);
  for (const Family* family : kFamilies) {
    const std::string_view mark = family->position_embedding_type;
    if (family->model_type != model_type || !(mark.empty() || is_marked(mark))) continue;
    if (family != &kJinaV3Hub && config.has("lora_adaptations") && config.has("task"))
      config.fail("task", "none: only jina-embeddings-v3 under its authors' names has adapters that filbert knows");
    return *family;
  }
  config.fail("model_type", "one of the supported: " + known);
}

namespace {

const char* name_of(Task task) {
  switch (task) {
    case Task::encoder:
    case Task::model:
      break;
    case Task::sequence_classification:
      return "sequence classification";
    case Task::token_classification:
      return "token classification";
    case Task::question_answering:
      return "question answering";
    case Task::masked_lm:
      return "masked language modelling";
    case Task::next_token:
      return "the next token";
  }
  return "";
}

struct Specs {
  std::vector<TensorSpec> base, head;
};

// shapes: those of the file's tensors.
Specs declare(const Family& family, const ConfigReader& config, Task task, const Shapes& shapes = {}) {
  DeclaredTensors base(shapes), head(shapes);
  family.encoder(config, base);
  const bool has_head = family.head(task, config, head) != nullptr;
  if (!has_head && task != Task::encoder && task != Task::model)
    config.fail_with("model_type " + std::string(family.model_type) + " has no head for " + name_of(task));
  for (const auto* ties : {&base.ties, &head.ties})
    for (const auto& [name, tied] : *ties)
      for (TensorSpec& spec : base.list)
        if (spec.name == name) spec.tied = tied;
  return {std::move(base.list), std::move(head.list)};
}

}  // namespace

void validate_config(const ConfigReader& config) { declare(find_family(config), config, Task::encoder); }

void validate_config(const std::string& config_json, const std::string& source, const std::string& model_type) {
  const JsonValue root = parse_config(config_json, source);
  const ConfigReader config(root, source);
  declare(find_family(config, model_type), config, Task::encoder);
}

std::vector<TensorSpec> tensor_specs(const std::string& config_json, Task task) {
  const JsonValue root = parse_config(config_json, "config");
  const ConfigReader config(root, "config");
  Specs specs = declare(find_family(config), config, task);
  for (TensorSpec& spec : specs.head) {
    const auto is_same = [&](const TensorSpec& each) { return each.name == spec.name; };
    if (std::none_of(specs.base.begin(), specs.base.end(), is_same)) specs.base.push_back(std::move(spec));
  }
  return specs.base;
}

TensorMatch match_tensors(const Family& family, const ConfigReader& config, const Weights& weights, Task task,
                          bool require_head) {
  const Specs specs = declare(family, config, task, shapes_in(weights, family.prefixes));
  const bool has_task = task != Task::encoder && task != Task::model;
  TensorMatch result = match(specs.base, specs.head, family.prefixes, require_head || has_task, missing_head(task),
                             weights, family.skipped);
  const bool is_other = task == Task::question_answering && !family.answers_prefix.empty();
  const std::string_view usual = family.saved_prefix ? family.saved_prefix(config) : family.prefixes.front();
  const std::string prefix(!has_task ? "" : is_other ? family.answers_prefix : usual);
  for (MatchedTensor& tensor : result.tensors)
    tensor.saved_name = (tensor.spec.owner == TensorSpec::Owner::base ? prefix : "") + tensor.spec.name;
  return result;
}

TensorMatch match_tensors(const std::string& config_json, const Weights& weights, Task task, bool require_head,
                          const std::string& source) {
  const JsonValue root = parse_config(config_json, source);
  const ConfigReader config(root, source);
  return match_tensors(find_family(config), config, weights, task, require_head);
}

}  // namespace filbert
