#pragma once

#include "cpu/context.h"

namespace filbert::cpu {

// filbert_backend::attention. Throws std::bad_alloc.
void run_attention(filbert_context& context, const filbert_attention_args& args);

}  // namespace filbert::cpu
