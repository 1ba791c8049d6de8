#pragma once

#include <filbert/weights.h>

namespace filbert {

// Whether the weights are one table of token vectors: then there may be no configuration beside them.
bool is_static_embedding(const Weights& weights);

}  // namespace filbert
