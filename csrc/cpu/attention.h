#pragma once

#include "cpu/context.h"

namespace filbert::cpu {

// filbert_backend::attention and disentangled_attention. They throw std::bad_alloc.
void run_attention(filbert_context& context, const filbert_attention_args& args);
void run_disentangled(filbert_context& context, const filbert_disentangled_args& args);

}  // namespace filbert::cpu
