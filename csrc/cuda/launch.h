// Starts a kernel on a stream. An empty grid is no work and no error.
#pragma once

#ifdef FILBERT_CUDA_ON_CPU
#include <cuda_on_cpu/launch.h>
#else

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <utility>

namespace filbert::cuda {

// Whether kernels can start while the one before them ends: they begin with let_next_start and wait_for_previous
// (ptx.h), which do something in code for sm_90 and later. It is not the device that tells: it may run code for an
// older one.
template <typename... P>
bool can_overlap_kernels(void (*kernel)(P...)) {
  constexpr int kKnown = 64;
  static std::atomic<signed char> known[kKnown] = {};  // by device: 1 yes, -1 no
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return false;
  const bool keep = device < kKnown;
  if (keep && known[device] != 0) return known[device] > 0;
  cudaFuncAttributes found = {};
  if (cudaFuncGetAttributes(&found, kernel) != cudaSuccess) return false;
  const bool can = found.ptxVersion >= 90;
  if (keep) known[device] = can ? 1 : -1;
  return can;
}

// By clusters of `cluster` blocks that are neighbours along x.
template <typename... P, typename... A>
cudaError_t launch_clusters(void (*kernel)(P...), unsigned cluster, dim3 grid, dim3 block, std::size_t shared_bytes,
                            cudaStream_t stream, A&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  if (can_overlap_kernels(kernel)) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {cluster, 1, 1};
  }
  return cudaLaunchKernelEx(&config, kernel, std::forward<A>(args)...);
}

template <typename... P, typename... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
                   A&&... args) {
  return launch_clusters(kernel, 1, grid, block, shared_bytes, stream, std::forward<A>(args)...);
}

}  // namespace filbert::cuda

#endif
