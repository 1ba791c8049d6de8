#define FILBERT_ISA avx512_bf16

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/bf16_avx512.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/disentangled_impl.h"
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {

Bf16Kernels avx512_bf16_kernels() {
  using namespace avx512_bf16;
  return {linear_kernel<Bf16Rows<Bf16>>(), attention_kernel<Bf16Attention<Bf16, kTileRows>>()};
}

}  // namespace filbert::cpu
