#pragma once

#include "models/architecture.h"

namespace filbert {

extern const ArchitectureEntry kBert;

}  // namespace filbert
