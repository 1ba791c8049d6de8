// What the ISA files let out. Whole sets, and what replaces some of their kernels on processors that have more.
#pragma once

#include "cpu/kernels.h"

namespace filbert::cpu {

struct Bf16Kernels {
  LinearKernel linear;
  AttentionKernel attention;
};

Kernels scalar_kernels();
#if defined(__x86_64__)
Kernels avx2_kernels();
LinearKernel avx_vnni_i8_kernels();
Kernels avx512_kernels();
LinearKernel avx512_vnni_i8_kernels();
Bf16Kernels avx512_bf16_kernels();
LinearKernel amx_f32_kernels();
AttentionKernel amx_f32_attention_kernels();
LinearKernel amx_i8_kernels();
Bf16Kernels amx_bf16_kernels();
#elif defined(__aarch64__)
Kernels neon_kernels();
LinearKernel neon_i8mm_i8_kernels();
Bf16Kernels neon_bf16_kernels();
#endif

}  // namespace filbert::cpu
