#include "cuda/tensor_map.h"

#include <cudaTypedefs.h>

#include <atomic>

namespace filbert::cuda {
namespace {

using Encode = PFN_cuTensorMapEncodeTiled_v12000;

// The driver's function, found at run time: libcuda is not linked.
cudaError_t find_encode(Encode& out) {
  static std::atomic<Encode> known = nullptr;
  out = known.load(std::memory_order_relaxed);
  if (out) return cudaSuccess;
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (!function) return cudaErrorInsufficientDriver;
  out = reinterpret_cast<Encode>(function);
  known.store(out, std::memory_order_relaxed);
  return cudaSuccess;
}

}  // namespace

cudaError_t make_tensor_map(Type type, const void* matrix, std::size_t rows, std::size_t columns, std::size_t stride,
                            int box_rows, TensorMap& out) {
  Encode encode = nullptr;
  if (const cudaError_t error = find_encode(encode)) return error;
  const cuuint64_t sizes[] = {columns, rows}, strides[] = {stride * 2};
  const cuuint32_t box[] = {kBoxColumns, static_cast<cuuint32_t>(box_rows)}, every[] = {1, 1};
  const CUresult result =
      encode(&out, type == Type::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2,
             const_cast<void*>(matrix), sizes, strides, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace filbert::cuda
