// Plain loops: the oracle of every other implementation, and the fallback. What their files share.
#pragma once

#include "cpu/kernels.h"

namespace filbert::cpu {

// Summed as every kernel does: in blocks of k_block(k), each from zero.
float scalar_dot(const float* a, const float* b, std::size_t k);

AttentionKernel scalar_attention();
RowKernels scalar_rows();

}  // namespace filbert::cpu
