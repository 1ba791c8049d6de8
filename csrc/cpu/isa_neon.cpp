#define FILBERT_ISA neon

#include "cpu/vec_neon.h"
// The kernels are written over the types above and here.
#include "cpu/i8_neon.h"
#include "cpu/isa_kernels.h"
#include "cpu/kernel_sets.h"

namespace filbert::cpu {

Kernels neon_kernels() { return neon::kernels_of("neon"); }

}  // namespace filbert::cpu
