#define FILBERT_ISA avx_vnni

#include "cpu/vec_avx2.h"
// The kernels are written over the types above and here.
#include "cpu/i8_vnni_256.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {

LinearKernel avx_vnni_i8_kernels() { return avx_vnni::linear_kernel<avx_vnni::I8Rows<avx_vnni::I8>>(); }

}  // namespace filbert::cpu
