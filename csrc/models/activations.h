#pragma once

#include "filbert/backend.h"
#include "files/config.h"

namespace filbert {

// The activation that a configuration names as transformers does ("gelu", "gelu_new", ...). Throws ConfigError for an
// unknown name.
filbert_activation read_activation(const ConfigReader& config, std::string_view field, std::string_view fallback);

// The one of that name, which is what a field says or a part of it. Throws as above.
filbert_activation find_activation(const ConfigReader& config, std::string_view field, std::string_view name);

}  // namespace filbert
