// The body of cuda/launch.h on the CPU.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>
#include <tuple>
#include <utility>

#include "cuda_on_cpu/simulator.h"

namespace filbert::cuda_on_cpu {

// Work for a stream: done when somebody waits for it, or recorded while the stream is captured.
cudaError_t enqueue(cudaStream_t, std::function<void()> work);
// Errors of the configuration, as the real runtime reports them.
cudaError_t check_launch(const Launch&);

struct StreamAndSite {
  cudaStream_t stream;
  std::source_location site;
  StreamAndSite(cudaStream_t stream_, std::source_location site_ = std::source_location::current())
      : stream(stream_), site(site_) {}
};

}  // namespace filbert::cuda_on_cpu

namespace filbert::cuda {

template <typename... P, typename... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   cuda_on_cpu::StreamAndSite stream, A&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  const auto thread = [kernel, values = std::tuple<P...>(std::forward<A>(args)...)] { std::apply(kernel, values); };
  const cuda_on_cpu::Launch work = {grid, block, shared_bytes, stream.site, thread};
  if (const cudaError_t error = cuda_on_cpu::check_launch(work)) return error;
  return cuda_on_cpu::enqueue(stream.stream, [work] { cuda_on_cpu::simulate(work); });
}

template <typename... P, typename... A>
cudaError_t launch_clusters(void (*kernel)(P...), unsigned cluster, dim3 grid, dim3 block, std::size_t shared_bytes,
                            cuda_on_cpu::StreamAndSite stream, A&&... args) {
  if (cluster != 1) return cudaErrorInvalidConfiguration;  // there are no larger ones here
  return launch(kernel, grid, block, shared_bytes, stream, std::forward<A>(args)...);
}

}  // namespace filbert::cuda
