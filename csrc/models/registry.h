// The model families, by model_type.
#pragma once

#include "engine/encoder.h"

namespace filbert {

// Throws ConfigError, listing what is supported, if model_type is missing (and no `fallback` is given) or unknown.
const Family& find_family(const ConfigReader& config, const std::string& fallback = "");

// What a folder without a config.json is, by its weights; empty if they do not tell.
std::string config_of(const Weights& weights);

// Those of filbert/config.h and filbert/weights.h, of a configuration that is parsed already.
void validate_config(const ConfigReader& config);
TensorMatch match_tensors(const Family& family, const ConfigReader& config, const Weights& weights, Task task,
                          bool require_head);

}  // namespace filbert
