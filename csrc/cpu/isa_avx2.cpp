#define FILBERT_ISA avx2

#include "cpu/vec_avx2.h"
// The kernels are written over the vector type above.
#include "cpu/isa_kernels.h"

namespace filbert::cpu {

const Kernels& avx2_kernels() {
  static constexpr Kernels kernels = avx2::kernels_of("avx2");
  return kernels;
}

}  // namespace filbert::cpu
