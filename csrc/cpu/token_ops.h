#pragma once

#include "cpu/context.h"

namespace filbert::cpu {

// filbert_backend::token_ops. Throws std::bad_alloc.
void run_token_ops(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens);

}  // namespace filbert::cpu
