// kernel_gap: what a kernel that does nothing costs in a CUDA graph, as plain launches follow each other, and with
// programmatic dependent launch (compute capability 9.0), where the next kernel's blocks start before the last one's
// results are flushed and wait there. One line of JSON, in microseconds.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kKernels = 1000, kRuns = 21, kThreads = 128;

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "kernel_gap: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

// A kernel that was launched as dependent waits until the one before it is done.
__global__ void __launch_bounds__(kThreads) touch(float* number) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
  if (blockIdx.x == 0 && threadIdx.x == 0) *number += 1;
}

void launch(int blocks, bool dependent, float* number, cudaStream_t stream) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  check(cudaLaunchKernelEx(&config, touch, number));
}

double graph_us(int blocks, bool dependent, float* number, cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  for (int i = 0; i < kKernels; ++i) launch(blocks, dependent, number, stream);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times(kRuns);
  for (float& time : times) {
    check(cudaGraphLaunch(executable, stream));
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(executable, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    check(cudaEventElapsedTime(&time, begin, end));
  }
  std::sort(times.begin(), times.end());
  return 1e3 * static_cast<double>(times[kRuns / 2]) / kKernels;
}

}  // namespace

int main() {
  float* number = nullptr;
  cudaStream_t stream = nullptr;
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, 0));
  check(cudaMalloc(&number, sizeof(*number)));
  check(cudaMemset(number, 0, sizeof(*number)));
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  check(cudaDeviceSynchronize());
  std::printf("{\"gpu\": \"%s\"", properties.name);
  for (const int blocks : {1, properties.multiProcessorCount}) {
    std::printf(", \"%d blocks\": {\"plain\": %.3f", blocks, graph_us(blocks, false, number, stream));
    if (properties.major >= 9) std::printf(", \"dependent\": %.3f", graph_us(blocks, true, number, stream));
    std::printf("}");
  }
  std::printf("}\n");
  // Every kernel came after the one before it, or an addition would be lost.
  const int launches = (properties.major >= 9 ? 4 : 2) * kKernels * 2 * kRuns;
  float counted = 0;
  check(cudaMemcpy(&counted, number, sizeof(counted), cudaMemcpyDeviceToHost));
  if (static_cast<int>(counted) != launches) {
    std::fprintf(stderr, "kernel_gap: %d launches, counted %.0f\n", launches, counted);
    return 1;
  }
}
