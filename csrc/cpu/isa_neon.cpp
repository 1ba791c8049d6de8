#define FILBERT_ISA neon

#include "cpu/vec_neon.h"
// The kernels are written over the vector type above.
#include "cpu/isa_kernels.h"

namespace filbert::cpu {

const Kernels& neon_kernels() {
  static constexpr Kernels kernels = neon::kernels_of("neon");
  return kernels;
}

}  // namespace filbert::cpu
