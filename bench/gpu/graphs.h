// Random matrices, and the time of calls that are replayed as one graph.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "check.h"
#include "cuda/ptx.h"

namespace {

using filbert::cuda::Bf16;
using filbert::cuda::from_float;

// Numbers of about unit variance, from a hash of their place.
__global__ void fill(std::uint16_t* out, std::size_t count, std::uint32_t seed, float scale) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    std::uint32_t h = static_cast<std::uint32_t>(i) * 2654435761u + seed * 40503u + static_cast<std::uint32_t>(i >> 32);
    float sum = 0;
    for (int j = 0; j < 4; ++j) {
      h ^= h >> 16, h *= 0x7feb352du, h ^= h >> 15, h *= 0x846ca68bu, h ^= h >> 16;
      sum += static_cast<float>(h & 0xffff) / 65536.0f - 0.5f;
    }
    out[i] = from_float<Bf16>(sum * 1.732f * scale).bits;
  }
}

std::uint16_t* random(std::size_t count, std::uint32_t seed, float scale = 1) {
  std::uint16_t* memory = nullptr;
  CHECK(cudaMalloc(&memory, count * 2));
  fill<<<2048, 256>>>(memory, count, seed, scale);
  CHECK(cudaDeviceSynchronize());
  return memory;
}

// Microseconds of each of `calls` calls, which are replayed as one graph.
double graph_us(cudaStream_t stream, int calls, const std::function<cudaError_t(int)>& call) {
  CHECK(call(0));
  CHECK(cudaStreamSynchronize(stream));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  for (int i = 0; i < calls; ++i) CHECK(call(i));
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  static cudaEvent_t begin = nullptr, end = nullptr;
  if (!begin) {
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
  }
  std::vector<float> times;
  for (int i = 0; i < 6; ++i) {
    CHECK(cudaEventRecord(begin, stream));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    float time;
    CHECK(cudaEventElapsedTime(&time, begin, end));
    if (i > 0) times.push_back(time);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  std::sort(times.begin(), times.end());
  return 1e3 * times[times.size() / 2] / calls;
}

}  // namespace
