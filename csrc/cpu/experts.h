#pragma once

#include "cpu/context.h"

namespace filbert::cpu {

// filbert_backend::experts_memory and experts. The latter throws std::bad_alloc.
std::size_t experts_memory(const filbert_experts_args& args);
void run_experts(filbert_context& context, const filbert_experts_args& args);

}  // namespace filbert::cpu
