// The fake runtime: nothing is done before somebody waits for it, and no more than that.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <vector>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"

using namespace filbert::cuda;
using namespace filbert::testing;
using filbert::cuda_on_cpu::SimulationError;

namespace {

void add_one(float* x) { x[threadIdx.x] += 1; }
void add(const float* x, float* to) { to[threadIdx.x] += x[threadIdx.x]; }
void half_syncs() {
  if (threadIdx.x < 5) sync_block();
}

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&stream_, flags) == cudaSuccess);
  }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { REQUIRE(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming) == cudaSuccess); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// The first of 32 numbers on the device, on the way to pinned memory: -1 until it is there.
class Numbers {
 public:
  explicit Numbers(float value) : device(std::vector<float>(32, value)) {
    REQUIRE(cudaMallocHost(&pinned, 4) == cudaSuccess);
    *pinned = -1;
  }
  ~Numbers() { cudaFreeHost(pinned); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

  void add_one_on(cudaStream_t stream) {
    REQUIRE(launch(add_one, dim3(1), dim3(32), 0, stream, device.data()) == cudaSuccess);
  }
  void add_on(cudaStream_t stream, const Numbers& other) {
    REQUIRE(launch(add, dim3(1), dim3(32), 0, stream, other.device.data(), device.data()) == cudaSuccess);
  }
  void read_on(cudaStream_t stream) {
    REQUIRE(cudaMemcpyAsync(pinned, device.data(), 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  }

  const DeviceArray<float> device;
  float* pinned = nullptr;
};

cudaError_t launch_wrong(cudaStream_t stream) { return launch(half_syncs, dim3(1), dim3(32), 0, stream); }

}  // namespace

TEST_CASE("streams: nothing is done before the wait") {
  for (const bool device : {false, true}) {
    const Stream stream;
    Numbers x(1);
    x.add_one_on(stream);
    x.read_on(stream);
    CHECK(*x.pinned == -1);
    CHECK((device ? cudaDeviceSynchronize() : cudaStreamSynchronize(stream)) == cudaSuccess);
    CHECK(*x.pinned == 2);
    CHECK(cudaMemsetAsync(x.device.data(), 0, 4, stream) == cudaSuccess);
    x.read_on(stream);
    CHECK(*x.pinned == 2);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(*x.pinned == 0);
  }
}

TEST_CASE("streams: an event waits for what came before its last record, and for nothing else") {
  const Stream stream;
  const Event event, never;
  Numbers x(1), y(1), z(1);
  CHECK(cudaEventSynchronize(never) == cudaSuccess);
  x.read_on(stream);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  y.read_on(stream);
  CHECK(cudaEventSynchronize(never) == cudaSuccess);
  CHECK(*x.pinned == -1);
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(*x.pinned == 1);
  CHECK(*y.pinned == -1);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  z.read_on(stream);
  CHECK(cudaEventSynchronize(event) == cudaSuccess);
  CHECK(*y.pinned == 1);
  CHECK(*z.pinned == -1);
}

TEST_CASE("streams: who polls gets there") {
  const Stream stream;
  const Event event;
  Numbers x(1);
  float elapsed = -1;
  x.add_one_on(stream);
  x.add_one_on(stream);
  x.read_on(stream);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  x.add_one_on(stream);
  x.read_on(stream);
  CHECK(cudaEventElapsedTime(&elapsed, event, event) == cudaErrorNotReady);
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  CHECK(*x.pinned == -1);
  CHECK(cudaEventQuery(event) == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaSuccess);
  CHECK(*x.pinned == 3);
  CHECK(cudaEventElapsedTime(&elapsed, event, event) == cudaSuccess);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
  CHECK(*x.pinned == 4);
}

TEST_CASE("streams: pinned memory is read when the stream comes to it, pageable memory at the call") {
  const Stream stream;
  Numbers x(1), y(1);
  float pageable = 5;
  *x.pinned = 5;
  CHECK(cudaMemcpyAsync(x.device.data(), x.pinned, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(y.device.data(), &pageable, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  *x.pinned = pageable = 6;  // too early
  CHECK(y.device.host()[0] == 1);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(x.device.host()[0] == 6);
  CHECK(y.device.host()[0] == 5);
}

TEST_CASE("streams: a copy to pageable memory waits for its stream, and for no other") {
  const Stream stream, other;
  Numbers x(1), y(1);
  float pageable = 0;
  y.read_on(other);
  x.add_one_on(stream);
  CHECK(cudaMemcpyAsync(&pageable, x.device.data(), 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  CHECK(pageable == 2);
  CHECK(*y.pinned == -1);
}

TEST_CASE("streams: one waits for another's event") {
  const Stream first, second;
  Numbers x(1), y(10);
  {
    const Event event;
    x.add_one_on(first);
    CHECK(cudaEventRecord(event, first) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(second, event) == cudaSuccess);
  }
  x.read_on(first);
  y.add_on(second, x);
  y.read_on(second);
  CHECK(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(*y.pinned == 12);
  CHECK(*x.pinned == -1);
}

TEST_CASE("streams: without an event they are not ordered") {
  const Stream first, second;
  Numbers x(1), y(10);
  x.add_one_on(first);
  y.add_on(second, x);
  y.read_on(second);
  CHECK(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(*y.pinned == 11);
}

TEST_CASE("streams: the default stream and blocking ones wait for each other, not for the others") {
  const Stream blocking(cudaStreamDefault), other;
  Numbers x(1), y(1);
  x.add_one_on(blocking);
  x.add_one_on(nullptr);
  y.add_one_on(other);
  CHECK(x.device.host()[0] == 3);
  CHECK(y.device.host()[0] == 1);
  x.add_one_on(nullptr);
  x.read_on(blocking);
  CHECK(cudaStreamSynchronize(blocking) == cudaSuccess);
  CHECK(*x.pinned == 4);
  x.add_one_on(nullptr);
  CHECK(cudaMemset(x.device.data(), 0, 4) == cudaSuccess);
  CHECK(x.device.host() == [] {
    std::vector<float> expected(32, 5.0f);
    expected[0] = 0;
    return expected;
  }());
}

TEST_CASE("streams: frees and the end of a stream wait for what is not done yet") {
  Numbers x(1), y(1), z(1);
  const Stream stream;
  {
    const Stream ends;
    const DeviceArray<float> freed(std::vector<float>{7});
    CHECK(cudaMemcpyAsync(x.device.data(), freed.data(), 4, cudaMemcpyDeviceToDevice, stream) == cudaSuccess);
    x.read_on(stream);
    CHECK(*x.pinned == -1);
  }
  CHECK(*x.pinned == 7);
  {
    const Stream ends;
    y.read_on(ends);
    z.read_on(stream);
  }
  CHECK(*y.pinned == 1);
  CHECK(*z.pinned == -1);
  void* memory = nullptr;
  CHECK(cudaMallocHost(&memory, 4) == cudaSuccess);
  CHECK(*z.pinned == -1);
  CHECK(cudaFreeHost(memory) == cudaSuccess);
  CHECK(*z.pinned == 1);
}

TEST_CASE("streams: a graph is launched when its turn comes, destroyed or not") {
  const Stream stream;
  Numbers x(1);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  x.add_one_on(stream);
  x.read_on(stream);
  CHECK(cudaEventRecord(Event(), stream) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamWaitEvent(stream, Event()) == cudaErrorStreamCaptureUnsupported);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  CHECK(*x.pinned == -1);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(*x.pinned == 3);
  cudaGetLastError();
}

TEST_CASE("streams: who waits for a captured stream, or for the device, spoils the capture") {
  const Stream stream;
  Numbers x(1);
  const auto wait_for_stream = [&] { return cudaStreamSynchronize(stream); };
  const auto ask = [&] { return cudaStreamQuery(stream); };
  const std::function<cudaError_t()> spoilers[] = {wait_for_stream, ask, cudaDeviceSynchronize};
  for (const auto& spoil : spoilers) {
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
    CHECK(spoil() == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaMemsetAsync(x.device.data(), 0, 4, stream) == cudaErrorStreamCaptureInvalidated);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
  }
}

TEST_CASE("streams: a kernel's error is thrown at the wait, what is behind it is dropped, what comes later works") {
  const Stream stream, other;
  const Event event;
  Numbers x(1), y(1);
  x.add_one_on(stream);
  CHECK(launch_wrong(stream) == cudaSuccess);
  x.add_one_on(stream);
  CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  y.read_on(other);
  SUBCASE("of the stream") { CHECK_THROWS_AS(cudaStreamSynchronize(stream), SimulationError); }
  SUBCASE("of an event") { CHECK_THROWS_AS(cudaEventSynchronize(event), SimulationError); }
  SUBCASE("of another stream") {
    CHECK(cudaStreamWaitEvent(other, event) == cudaSuccess);
    CHECK_THROWS_AS(cudaStreamSynchronize(other), SimulationError);
  }
  SUBCASE("of the device, which does the rest") {
    CHECK_THROWS_AS(cudaDeviceSynchronize(), SimulationError);
    CHECK(*y.pinned == 1);
  }
  SUBCASE("the next one, after a free, which must not throw") {
    const std::size_t before = filbert::cuda_on_cpu::device_bytes();
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, 4) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaErrorLaunchFailure);
    CHECK(filbert::cuda_on_cpu::device_bytes() == before);
    CHECK_THROWS_AS(cudaStreamSynchronize(other), SimulationError);
    cudaGetLastError();
  }
  CHECK(cudaEventQuery(event) == cudaSuccess);
  x.read_on(stream);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(*x.pinned == 2);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("streams: a process may end with work that nobody waited for") {
  const Stream stream;
  Numbers x(1);
  x.add_one_on(stream);
  x.add_one_on(nullptr);
  std::cout.flush();  // or the child prints it too
  const pid_t child = fork();
  if (child == 0) std::exit(0);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(x.device.host()[0] == 2);
}
