// What the tests of the instructions of sm_90 share.
#pragma once

#include <cudaTypedefs.h>
#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include "cuda/launch.h"
#include "cuda/ptx_sm90.h"
#include "cuda_on_cpu/machine.h"

namespace filbert::testing {

// An H100 in what matters here.
struct HopperDevice {
  cuda_on_cpu::Restore restore;
  HopperDevice() {
    cuda_on_cpu::machine().major = 9;
    cuda_on_cpu::machine().minor = 0;
    cuda_on_cpu::machine().shared_memory = 232448;
  }
};

inline const std::string kNoError = cudaGetErrorName(cudaSuccess);

// Of one block.
template <typename... P, typename... A>
std::string error_of_block(unsigned threads, std::size_t shared_bytes, void (*kernel)(P...), A... arguments) {
  try {
    const cudaError_t error = cuda::launch(kernel, dim3(1), dim3(threads), shared_bytes, nullptr, arguments...);
    return cudaGetErrorName(error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error);
  } catch (const cuda_on_cpu::SimulationError& error) {
    return error.what();
  }
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline PFN_cuTensorMapEncodeTiled_v12000 tensor_map_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  REQUIRE(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
          cudaSuccess);
  REQUIRE(found == cudaDriverEntryPointSuccess);
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

// Of 16-bit numbers [rows, columns], `stride` apart, in boxes of `box_rows` x 64.
inline CUresult encode_map(CUtensorMap* map, const void* matrix, std::size_t rows, std::size_t columns,
                           std::size_t stride, unsigned box_rows, unsigned box_columns = 64) {
  const cuuint64_t sizes[] = {columns, rows}, strides[] = {stride * 2};
  const cuuint32_t box[] = {box_columns, box_rows}, ones[] = {1, 1};
  return tensor_map_encoder()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(matrix), sizes, strides, box,
                              ones, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

inline cuda::TensorMap map_of(const void* matrix, std::size_t rows, std::size_t columns, std::size_t stride,
                              unsigned box_rows) {
  cuda::TensorMap map;
  REQUIRE(encode_map(&map, matrix, rows, columns, stride, box_rows) == CUDA_SUCCESS);
  return map;
}

// Room for boxes in shared memory begins here.
inline std::byte* boxes_in_shared() {
  const auto address = reinterpret_cast<std::uintptr_t>(cuda::shared_memory());
  return cuda::shared_memory() + (1024 - address % 1024) % 1024;
}

}  // namespace filbert::testing
