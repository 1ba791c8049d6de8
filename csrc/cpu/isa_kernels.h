// Everything that a whole instruction set implements, over the Vec and the I8 that were included before this file.
#pragma once

#include "cpu/math_impl.h"
#include "cpu/matmul_impl.h"
// These use the two above.
#include "cpu/disentangled_impl.h"
#include "cpu/experts_impl.h"
#include "cpu/linear_impl.h"
#include "cpu/pool_impl.h"
#include "cpu/rows_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

constexpr Kernels kernels_of(const char* isa) {
  return {
      .isa = isa,
      .f32 = linear_kernel<F32Rows>(),
      .bf16 = linear_kernel<Bf16Rows<WidenedBf16>>(),
      .i8 = linear_kernel<I8Rows<I8>>(),
      .attention = attention_kernel<F32Attention>(),
      .fast_attention = attention_kernel<F32Attention>(),
      .rows = {run_rows, pool, route, mix},
      .multiplies_bf16 = false,
  };
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
