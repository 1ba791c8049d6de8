// The model families, by model_type.
#pragma once

#include "models/architecture.h"

namespace filbert {

// Throws ConfigError, listing what is supported, if model_type is missing or unknown.
const ArchitectureEntry& find_architecture(const ConfigReader& config);

}  // namespace filbert
