#pragma once

#include <filbert/export.h>

#include <string>

namespace filbert {

// Checks the text of a config.json: JSON as Python's json module reads it, a supported model_type, every field that the
// encoder reads of the right type and range. `source` (a path) appears in the messages; `model_type` is what the caller
// knows it to be, where the text does not say. Throws ConfigError.
FILBERT_API void validate_config(const std::string& config_json, const std::string& source = "config",
                                 const std::string& model_type = "");

}  // namespace filbert
