#define FILBERT_ISA avx2

#include "cpu/vec_avx2.h"
// Over the vector type.
#include "cpu/i8_madd_avx2.h"
#include "cpu/tile_avx2.h"
// The kernels are written over all of these.
#include "cpu/isa_kernels.h"
#include "cpu/kernel_sets.h"

namespace filbert::cpu {

Kernels avx2_kernels() { return avx2::kernels_of("avx2"); }

}  // namespace filbert::cpu
