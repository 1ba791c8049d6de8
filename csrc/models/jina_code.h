// The code that Jina's checkpoints of XLM-R come with (xlm-roberta-flash-implementation): their config.json names it
// and no model_type.
#pragma once

#include <string_view>

#include "files/config.h"

namespace filbert {

inline bool names_jina_code(const ConfigReader& config) {
  const JsonValue* const code = config.find("auto_map");
  const JsonValue* const name =
      code == nullptr || code->object() == nullptr ? nullptr : code->object()->find("AutoConfig");
  return name != nullptr && name->string() != nullptr &&
         std::string_view(*name->string()).ends_with(".XLMRobertaFlashConfig");
}

}  // namespace filbert
