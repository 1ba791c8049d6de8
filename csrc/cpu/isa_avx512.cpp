#define FILBERT_ISA avx512

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/i8_madd_avx512.h"
#include "cpu/isa_kernels.h"
#include "cpu/kernel_sets.h"

namespace filbert::cpu {

Kernels avx512_kernels() { return avx512::kernels_of("avx512"); }

}  // namespace filbert::cpu
