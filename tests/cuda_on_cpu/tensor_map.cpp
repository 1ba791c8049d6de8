// The function of the driver that makes tensor maps, for the kind that kernels here use: two dimensions, 16-bit
// numbers, rows of 128 bytes whose 16-byte words are exchanged, zeros outside.
#include "tensor_map.h"

#include <cudaTypedefs.h>

#include <cstring>

#include "calls.h"

namespace filbert::cuda_on_cpu {
namespace {

CUresult encode(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t dimensions, void* base, const cuuint64_t* sizes,
                const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps,
                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                CUtensorMapFloatOOBfill fill) {
  constexpr std::uint64_t kMostSize = std::uint64_t{1} << 32, kMostStride = std::uint64_t{1} << 40;
  const auto is_aligned = [](const void* p, std::size_t to) { return reinterpret_cast<std::uintptr_t>(p) % to == 0; };
  const bool is_ours = (type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16 || type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) &&
                       dimensions == 2 && interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
                       swizzle == CU_TENSOR_MAP_SWIZZLE_128B && fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  if (!is_ours || !map || !is_aligned(map, 64) || !base || !is_aligned(base, 16)) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < 2; ++i)
    if (sizes[i] == 0 || sizes[i] > kMostSize || steps[i] != 1) return CUDA_ERROR_INVALID_VALUE;
  if (strides[0] % 16 != 0 || strides[0] >= kMostStride || strides[0] < sizes[0] * 2) return CUDA_ERROR_INVALID_VALUE;
  if (box[0] * 2 != 128 || box[1] == 0 || box[1] > 256) return CUDA_ERROR_INVALID_VALUE;
  const BoxedMatrix matrix = {kBoxedMatrix, static_cast<const std::byte*>(base), sizes[0], sizes[1], strides[0],
                              box[1]};
  std::memcpy(map, &matrix, sizeof(matrix));
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace filbert::cuda_on_cpu

using namespace filbert::cuda_on_cpu;

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  return call([&] {
    const bool is_known = std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
    const bool is_found = is_known && version >= 12000;
    *function = is_found ? reinterpret_cast<void*>(encode) : nullptr;
    if (found)
      *found = is_found   ? cudaDriverEntryPointSuccess
               : is_known ? cudaDriverEntryPointVersionNotSufficent
                          : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
  });
}
