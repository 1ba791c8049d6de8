#define FILBERT_ISA neon_bf16

#include "cpu/vec_neon.h"
// The kernels are written over the types above and here.
#include "cpu/bf16_mmla.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/bf16_mmla_attention.h"
#include "cpu/disentangled_impl.h"
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {

Bf16Kernels neon_bf16_kernels() {
  using namespace neon_bf16;
  LinearKernel linear = linear_kernel<PairedRows<Bf16Rows<Bf16>>>();
  linear.row_grain = kPairedRows;
  return {linear, attention_kernel<PairedAttention>()};
}

}  // namespace filbert::cpu
