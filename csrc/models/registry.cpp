#include "models/registry.h"

#include <filbert/config.h>

#include <string>

#include "core/tensor_match.h"
#include "models/bert.h"

namespace filbert {
namespace {

const ArchitectureEntry* const kArchitectures[] = {&kBert};

// The part of the model that a checkpoint may lack.
constexpr const char* kOptional = "pooler.";

// What no architecture computes: weights that the file holds quantised, and attention without some of its heads.
void refuse_unsupported(const ConfigReader& config) {
  if (config.has("quantization_config"))
    config.fail("quantization_config",
                "none: the weights must be F32, F16, BF16 or F64 (filbert quantises them itself)");
  const JsonValue* pruned = config.find("pruned_heads");
  if (pruned != nullptr && (pruned->object() == nullptr || !pruned->object()->members().empty()))
    config.fail("pruned_heads", "an empty object");
}

}  // namespace

const ArchitectureEntry& find_architecture(const ConfigReader& config, const std::string& fallback) {
  refuse_unsupported(config);
  std::string known;
  for (const ArchitectureEntry* entry : kArchitectures)
    known += (known.empty() ? "" : ", ") + std::string(entry->model_type);
  if (!config.has("model_type") && fallback.empty()) {
    config.fail_with("model_type is missing; expected one of: " + known +
                     ". Add it, such as \"model_type\": \"bert\", or in Python name the class, such as BertModel");
  }
  const std::string model_type = config.string("model_type", fallback);
  for (const ArchitectureEntry* entry : kArchitectures)
    if (entry->model_type == model_type) return *entry;
  config.fail("model_type", "one of the supported: " + known);
}

void validate_config(const ConfigReader& config) { find_architecture(config).tensors(config, false); }

void validate_config(const std::string& config_json, const std::string& source, const std::string& model_type) {
  const JsonValue root = parse_config(config_json, source);
  const ConfigReader config(root, source);
  find_architecture(config, model_type).tensors(config, false);
}

std::vector<TensorSpec> tensor_specs(const std::string& config_json, bool pooler) {
  const JsonValue root = parse_config(config_json, "config");
  const ConfigReader config(root, "config");
  return find_architecture(config).tensors(config, pooler);
}

TensorMatch match_tensors(const ArchitectureEntry& entry, const ConfigReader& config, const Weights& weights,
                          Pooler pooler) {
  return match(entry.tensors(config, true), std::string(entry.base_prefix), {kOptional}, pooler, weights);
}

TensorMatch match_tensors(const std::string& config_json, const Weights& weights, Pooler pooler) {
  const JsonValue root = parse_config(config_json, "config");
  const ConfigReader config(root, "config");
  return match_tensors(find_architecture(config), config, weights, pooler);
}

}  // namespace filbert
