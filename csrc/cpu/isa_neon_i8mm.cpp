#define FILBERT_ISA neon_i8mm

#include "cpu/vec_neon.h"
// The kernels are written over the types above and here.
#include "cpu/i8_mmla.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {

LinearKernel neon_i8mm_i8_kernels() {
  using namespace neon_i8mm;
  LinearKernel kernel = linear_kernel<PairedRows<I8Rows<I8>>>();
  kernel.row_grain = kPairedRows;
  return kernel;
}

}  // namespace filbert::cpu
