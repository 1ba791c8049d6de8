#define FILBERT_ISA avx512_vnni

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/i8_vnni_512.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {

LinearKernel avx512_vnni_i8_kernels() { return avx512_vnni::linear_kernel<avx512_vnni::I8Rows<avx512_vnni::I8>>(); }

}  // namespace filbert::cpu
