// probe SECTION: facts about a Hopper GPU that the design of filbert's kernels hangs on, one line of JSON each.
//
//   bits      are chains of mma.sync k16, of wgmma k16 and of mma.sync k8 the same bits?
//   latency   cycles of a dependent step of each instruction
//   rate      TFLOP/s of each instruction on all multiprocessors, from registers and shared memory alone
//   l2        bytes a cycle a multiprocessor reads from L2 and from memory, by how many of them ask
//   gap       microseconds a kernel costs in a graph: plain, dependent, by shared memory
//   barrier   microseconds of a barrier of all blocks, and of a cluster: what a kernel for a whole layer would pay
//   capture   which calls of another thread end a capture
//   trip      microseconds from host memory to host memory around one small kernel: copies or mapped memory
//
// Build: nvcc -O3 -std=c++20 -gencode arch=compute_90a,code=sm_90a -o probe probe.cu
#include "probe_products.h"

namespace {

// ---- l2

// Each block reads all of its share, 16 bytes a thread at a time into shared memory, up to 8 groups on their way.
__global__ void __launch_bounds__(256)
    read_all(const uint4* data, std::size_t of_block, std::size_t stride, int rounds, long long* cycles) {
  extern __shared__ __align__(128) uint4 ring[];
  const uint4* mine = data + blockIdx.x * stride;
  const long long begin = clock64();
  for (int r = 0; r < rounds; ++r)
    for (std::size_t i = threadIdx.x; i < of_block; i += 256 * 4) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const std::size_t at = i + j * 256;
        const uint4* from = mine + (at < of_block ? at : threadIdx.x);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                         shared_of(ring + (i / 1024 % 8 * 4 + j) * 256 + threadIdx.x)),
                     "l"(from)
                     : "memory");
      }
      asm volatile("cp.async.commit_group;" ::: "memory");
      asm volatile("cp.async.wait_group 7;" ::: "memory");
    }
  asm volatile("cp.async.wait_group 0;" ::: "memory");
  const long long end = clock64();
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - begin;
}

void l2() {
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  uint4* data;
  long long* cycles;
  CHECK(cudaMalloc(&data, kBytes));
  CHECK(cudaMemset(data, 1, kBytes));
  CHECK(cudaMalloc(&cycles, 1024 * sizeof(long long)));
  constexpr int kShared = 8 * 4 * 256 * 16;
  CHECK(cudaFuncSetAttribute(read_all, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const int all = device.multiProcessorCount;
  const auto run = [&](const char* what, int blocks, std::size_t of_block, std::size_t stride, int rounds) {
    const float ms =
        event_ms([&] { read_all<<<blocks, 256, kShared>>>(data, of_block / 16, stride / 16, rounds, cycles); });
    std::vector<long long> found(blocks);
    CHECK(cudaMemcpy(found.data(), cycles, blocks * sizeof(long long), cudaMemcpyDeviceToHost));
    const double most = double(*std::max_element(found.begin(), found.end()));
    std::printf("{\"section\": \"l2\", \"what\": \"%s\", \"blocks\": %d, \"bytes_a_cycle\": %.1f, \"gbps\": %.0f}\n",
                what, blocks, double(of_block) * rounds / most, double(of_block) * rounds * blocks / ms / 1e6);
  };
  for (const int blocks : {1, 24, 48, 96, all}) {
    run("L2, the same 1 MB for all", blocks, 1 << 20, 0, 16);
    run("L2, 128 KB each", blocks, 1 << 17, 1 << 17, 64);
  }
  for (const int blocks : {24, 48, 96, all}) run("memory, 7 MB each", blocks, 7 << 20, 7 << 20, 1);
}

// ---- gap and barrier

__global__ void __launch_bounds__(128) touch(float* number, bool early) {
  if (early) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (blockIdx.x == 0 && threadIdx.x == 0) *number += 1;
}
__global__ void __launch_bounds__(128) touch_large(float* number, bool early) {
  extern __shared__ float unused[];
  if (early) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (blockIdx.x == 0 && threadIdx.x == 0) *number += 1 + (number == nullptr ? unused[0] : 0);
}

void gap() {
  constexpr int kKernels = 500, kLarge = 160 * 1024;
  float* number;
  cudaStream_t stream;
  CHECK(cudaMalloc(&number, 4));
  CHECK(cudaMemset(number, 0, 4));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaFuncSetAttribute(touch_large, cudaFuncAttributeMaxDynamicSharedMemorySize, kLarge));
  enum Shape { small, large, alternating };
  for (const bool full_carveout : {false, true}) {
    if (full_carveout)
      for (const void* kernel : {reinterpret_cast<const void*>(touch), reinterpret_cast<const void*>(touch_large)})
        CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100));
    for (const Shape shape : {small, large, alternating})
      for (const int blocks : {1, device.multiProcessorCount})
        for (const int mode : {0, 1, 2}) {  // plain, dependent, dependent with an early trigger
          cudaGraph_t graph;
          cudaGraphExec_t exec;
          CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
          for (int i = 0; i < kKernels; ++i) {
            const bool is_large = shape == large || (shape == alternating && i % 2 == 0);
            cudaLaunchAttribute attribute = {};
            attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
            attribute.val.programmaticStreamSerializationAllowed = 1;
            cudaLaunchConfig_t config = {};
            config.gridDim = dim3(blocks);
            config.blockDim = dim3(128);
            config.dynamicSmemBytes = is_large ? kLarge : 0;
            config.stream = stream;
            config.attrs = &attribute;
            config.numAttrs = mode > 0 ? 1 : 0;
            CHECK(cudaLaunchKernelEx(&config, is_large ? touch_large : touch, number, mode == 2));
          }
          CHECK(cudaStreamEndCapture(stream, &graph));
          const auto before = std::chrono::steady_clock::now();
          CHECK(cudaGraphInstantiate(&exec, graph, 0));
          const double instantiate = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
          cudaEvent_t begin, end;
          CHECK(cudaEventCreate(&begin));
          CHECK(cudaEventCreate(&end));
          std::vector<float> times;
          for (int i = 0; i < 11; ++i) {
            CHECK(cudaEventRecord(begin, stream));
            CHECK(cudaGraphLaunch(exec, stream));
            CHECK(cudaEventRecord(end, stream));
            CHECK(cudaEventSynchronize(end));
            float time;
            CHECK(cudaEventElapsedTime(&time, begin, end));
            times.push_back(time);
          }
          std::sort(times.begin(), times.end());
          const char* shapes[] = {"no shared memory", "160 KB", "alternating"};
          const char* modes[] = {"plain", "dependent", "dependent, early"};
          std::printf(
              "{\"section\": \"gap\", \"shared\": \"%s\", \"carveout\": \"%s\", \"blocks\": %d, \"mode\": \"%s\", "
              "\"us\": %.3f, \"instantiate_us_a_kernel\": %.2f}\n",
              shapes[shape], full_carveout ? "100" : "default", blocks, modes[mode], 1e3 * times[5] / kKernels,
              1e6 * instantiate / kKernels);
          std::fflush(stdout);
          CHECK(cudaGraphExecDestroy(exec));
          CHECK(cudaGraphDestroy(graph));
        }
  }
}

// All blocks run at once: there is one for each multiprocessor.
__global__ void __launch_bounds__(128) meet(unsigned* arrived, int rounds) {
  for (int i = 1; i <= rounds; ++i) {
    __syncthreads();
    if (threadIdx.x == 0) {
      const unsigned all = gridDim.x * static_cast<unsigned>(i);
      unsigned seen;
      asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
      do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");
      while (seen < all);
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(128) meet_cluster(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  }
}

void barrier() {
  constexpr int kRounds = 1000;
  unsigned* arrived;
  CHECK(cudaMalloc(&arrived, 4));
  for (const int blocks : {8, 32, device.multiProcessorCount}) {
    const float ms = event_ms([&] {
      CHECK(cudaMemsetAsync(arrived, 0, 4));
      int rounds = kRounds;
      void* arguments[] = {&arrived, &rounds};
      CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(meet), dim3(blocks), dim3(128), arguments, 0,
                                        nullptr));
    });
    std::printf("{\"section\": \"barrier\", \"what\": \"grid\", \"blocks\": %d, \"us\": %.3f}\n", blocks,
                1e3 * ms / kRounds);
  }
  for (const int size : {2, 4, 8}) {
    const float ms = event_ms([&] {
      cudaLaunchAttribute attribute = {};
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim = {static_cast<unsigned>(size), 1, 1};
      cudaLaunchConfig_t config = {};
      config.gridDim = dim3(size * 8);
      config.blockDim = dim3(128);
      config.attrs = &attribute;
      config.numAttrs = 1;
      CHECK(cudaLaunchKernelEx(&config, meet_cluster, kRounds));
    });
    std::printf("{\"section\": \"barrier\", \"what\": \"cluster\", \"blocks\": %d, \"us\": %.3f}\n", size,
                1e3 * ms / kRounds);
  }
}

// ---- capture

void capture() {
  float* number;
  CHECK(cudaMalloc(&number, 4));
  struct Call {
    const char* name;
    std::function<cudaError_t(cudaStream_t, cudaEvent_t)> call;
  };
  const Call calls[] = {
      {"nothing", [](cudaStream_t, cudaEvent_t) { return cudaSuccess; }},
      {"cudaStreamSynchronize of the captured stream",
       [](cudaStream_t s, cudaEvent_t) { return cudaStreamSynchronize(s); }},
      {"cudaEventSynchronize of an earlier event", [](cudaStream_t, cudaEvent_t e) { return cudaEventSynchronize(e); }},
      {"cudaDeviceSynchronize", [](cudaStream_t, cudaEvent_t) { return cudaDeviceSynchronize(); }},
      {"cudaStreamSynchronize of the default stream",
       [](cudaStream_t, cudaEvent_t) { return cudaStreamSynchronize(nullptr); }},
      {"cudaMalloc and cudaFree",
       [](cudaStream_t, cudaEvent_t) {
         void* memory = nullptr;
         const cudaError_t error = cudaMalloc(&memory, 64 << 20);
         return error == cudaSuccess ? cudaFree(memory) : error;
       }},
      {"cudaMallocHost and cudaFreeHost",
       [](cudaStream_t, cudaEvent_t) {
         void* memory = nullptr;
         const cudaError_t error = cudaMallocHost(&memory, 1 << 20);
         return error == cudaSuccess ? cudaFreeHost(memory) : error;
       }},
  };
  for (const Call& each : calls) {
    cudaStream_t stream;
    cudaEvent_t event;
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    CHECK(cudaEventRecord(event, stream));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    touch<<<1, 32, 0, stream>>>(number, false);
    cudaError_t other = cudaSuccess;
    std::thread([&] {
      other = each.call(stream, event);
      cudaGetLastError();
    }).join();
    touch<<<1, 32, 0, stream>>>(number, false);
    cudaGetLastError();
    const cudaError_t end = cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();
    std::printf(
        "{\"section\": \"capture\", \"another_thread\": \"%s\", \"it_gets\": \"%s\", \"the_capture\": \"%s\"}\n",
        each.name, cudaGetErrorName(other), cudaGetErrorName(end));
  }
}

// ---- trip

__global__ void __launch_bounds__(512) add_one(const float* in, float* out, int count) {
  for (int i = threadIdx.x; i < count; i += 512) out[i] = in[i] + 1;
}

void trip() {
  constexpr int kIn = 512, kOut = 768;  // the indices of one sequence, and a vector
  float *pinned_in, *pinned_out, *in, *out;
  cudaStream_t stream;
  cudaEvent_t done;
  CHECK(cudaMallocHost(&pinned_in, 4 * kOut));
  CHECK(cudaMallocHost(&pinned_out, 4 * kOut));
  CHECK(cudaMalloc(&in, 4 * kOut));
  CHECK(cudaMalloc(&out, 4 * kOut));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  const auto graph_of = [&](const std::function<void()>& body) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    body();
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    return exec;
  };
  const auto to = [&] { CHECK(cudaMemcpyAsync(in, pinned_in, 4 * kIn, cudaMemcpyHostToDevice, stream)); };
  const auto back = [&] { CHECK(cudaMemcpyAsync(pinned_out, out, 4 * kOut, cudaMemcpyDeviceToHost, stream)); };
  const cudaGraphExec_t kernel = graph_of([&] { add_one<<<1, 512, 0, stream>>>(in, out, kOut); });
  const cudaGraphExec_t all = graph_of([&] {
    to();
    add_one<<<1, 512, 0, stream>>>(in, out, kOut);
    back();
  });
  const cudaGraphExec_t mapped = graph_of([&] { add_one<<<1, 512, 0, stream>>>(pinned_in, pinned_out, kOut); });
  const auto time = [&](const char* what, const std::function<void()>& body) {
    std::vector<double> times;
    for (int i = 0; i < 400; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      body();
      CHECK(cudaEventRecord(done, stream));
      CHECK(cudaEventSynchronize(done));
      times.push_back(1e6 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::sort(times.begin(), times.end());
    std::printf("{\"section\": \"trip\", \"what\": \"%s\", \"p50_us\": %.2f, \"p95_us\": %.2f}\n", what, times[200],
                times[380]);
  };
  time("nothing", [] {});
  time("graph of a kernel", [&] { CHECK(cudaGraphLaunch(kernel, stream)); });
  time("copy, graph of a kernel, copy", [&] {
    to();
    CHECK(cudaGraphLaunch(kernel, stream));
    back();
  });
  time("graph of copy, kernel, copy", [&] { CHECK(cudaGraphLaunch(all, stream)); });
  time("graph of a kernel on mapped memory", [&] { CHECK(cudaGraphLaunch(mapped, stream)); });
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(cudaGetDeviceProperties(&device, 0));
  const struct {
    const char* name;
    void (*run)();
  } sections[] = {{"bits", bits}, {"latency", latency}, {"rate", rate},       {"l2", l2},
                  {"gap", gap},   {"barrier", barrier}, {"capture", capture}, {"trip", trip}};
  for (const auto& section : sections)
    if (argc > 1 && std::strcmp(argv[1], section.name) == 0) {
      section.run();
      CHECK(cudaDeviceSynchronize());
      return 0;
    }
  std::fprintf(stderr, "usage: probe bits|latency|rate|l2|gap|barrier|capture|trip\n");
  return 2;
}
