#define FILBERT_ISA avx512

#include "cpu/vec_avx512.h"
// The kernels are written over the vector type above.
#include "cpu/isa_kernels.h"

namespace filbert::cpu {

const Kernels& avx512_kernels() {
  static constexpr Kernels kernels = avx512::kernels_of("avx512");
  return kernels;
}

}  // namespace filbert::cpu
