// The fake runtime: its errors, its memory, its captures. Its streams: test_streams.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"

using namespace filbert::cuda;
using namespace filbert::cuda_on_cpu;
using namespace filbert::testing;

namespace {
void add_one(float* x) { x[threadIdx.x] += 1; }
}  // namespace

TEST_CASE("runtime: no device, an old driver, an index that does not exist") {
  const Restore restore;
  int count = -1;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
  machine().devices = 2;
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(cudaSetDevice(0) == cudaSuccess);
  machine().devices = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  machine().driver = cudaErrorInsufficientDriver;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  CHECK(std::string(cudaGetErrorName(cudaErrorInsufficientDriver)) == "cudaErrorInsufficientDriver");
  cudaGetLastError();
}

TEST_CASE("runtime: memory has an end, starts as NaN and is given back") {
  const Restore restore;
  const std::size_t before = device_bytes();
  machine().memory = before + 1000;
  void *first = nullptr, *second = nullptr;
  CHECK(cudaMalloc(&first, 600) == cudaSuccess);
  CHECK(cudaMalloc(&second, 600) == cudaErrorMemoryAllocation);
  CHECK(second == nullptr);
  std::size_t free = 0, total = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free == 400);
  CHECK(total == before + 1000);
  float value = 0;
  CHECK(cudaMemcpy(&value, first, sizeof(value), cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(std::isnan(value));
  CHECK(cudaMemcpy(&value, static_cast<char*>(first) + 598, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(first, &value, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaFree(first) == cudaSuccess);
  CHECK(cudaFree(first) == cudaErrorInvalidValue);
  CHECK(device_bytes() == before);
  cudaGetLastError();
}

TEST_CASE("runtime: a call can be told to fail") {
  const Restore restore;
  machine().calls_until_failure = 1;
  machine().failure = cudaErrorIllegalAddress;
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  cudaGetLastError();
}

TEST_CASE("runtime: launches that no device takes") {
  const DeviceArray<float> x(32);
  CHECK(launch(add_one, dim3(0), dim3(32), 0, nullptr, x.data()) == cudaSuccess);
  CHECK(launch(add_one, dim3(1), dim3(1056), 0, nullptr, x.data()) == cudaErrorInvalidConfiguration);
  CHECK(launch(add_one, dim3(1, 65536), dim3(32), 0, nullptr, x.data()) == cudaErrorInvalidConfiguration);
  CHECK(launch(add_one, dim3(1), dim3(32), machine().shared_memory + 1, nullptr, x.data()) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_CASE("runtime: a captured stream does nothing until its graph is launched, as often as that is") {
  const DeviceArray<float> x(std::vector<float>(32, 1.0f));
  std::vector<float> got(32);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(launch(add_one, dim3(1), dim3(32), 0, stream, x.data()) == cudaSuccess);
  CHECK(cudaMemcpyAsync(got.data(), x.data(), 128, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(x.host() == std::vector<float>(32, 1.0f));
  for (const float expected : {2.0f, 3.0f}) {
    CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(got == std::vector<float>(32, expected));
  }
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}
