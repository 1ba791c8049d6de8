// Maps by which the copy engine of sm_90 finds boxes of a matrix.
#pragma once

#include "cuda/kernels.h"
#include "cuda/ptx_sm90.h"

namespace filbert::cuda {

inline constexpr int kBoxColumns = 64;  // 128 bytes, the width of the swizzle

// Of a matrix of 16-bit numbers, `columns` of them in a row and `stride` from one row to the next, in boxes of
// `box_rows` (at most 256) by 64. The matrix and the stride are multiples of 16 bytes.
cudaError_t make_tensor_map(Type, const void* matrix, std::size_t rows, std::size_t columns, std::size_t stride,
                            int box_rows, TensorMap& out);

}  // namespace filbert::cuda
