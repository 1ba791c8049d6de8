// hopper: a first matrix product with wgmma, the tensor copy engine and barriers in shared memory, around filbert's own
// epilogue, beside the mma.sync tiles of the plug-in: microseconds, and whether the bits are the same. One line of JSON
// each. What it says decides the shape of csrc/cuda/gemm_sm90.cu; it is no part of the library.
//
// One block a multiprocessor goes through tiles of the output. A producer warp fills a ring of stages of 64 of k; two
// groups of 4 warps multiply. Together: each has its share of a tile's rows. In turns ("ping-pong"): each has a tile of
// its own, so that one's epilogue is hidden behind the other's products. In chunks: sums over at most 1024 of k are
// added up in a second set of sums, so that K above that gives other bits than mma.sync's one chain.
#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/gemm_epilogue.h"
#include "graphs.h"
#include "wgmma.h"

using namespace filbert::cuda;

namespace {

constexpr int kDepth = 64;

template <int Rows, int Columns, bool InTurns, int Stages, int Groups = 2, bool InChunks = false>
struct HopperShape {
  static constexpr int kRows = Rows, kColumns = Columns, kStages = Stages, kGroups = Groups;
  static constexpr bool kInTurns = InTurns, kInChunks = InChunks;
  static constexpr int kThreads = 128 * (Groups + 1);
  static constexpr int kGroupRows = InTurns ? Rows : Rows / Groups;
  static constexpr int kProducts = kGroupRows / 64;
  static constexpr int kStage = (Rows + Columns) * kDepth * 2;  // bytes
  static constexpr int kSharedBytes = 1024 + Stages * (kStage + 16);
};

// What Epilogue and Accumulators need to know of a warp's 16 rows of one product.
template <int Columns>
struct WarpShape {
  static constexpr int kM = 1, kN = Columns / 8, kThreads = 128;
};

struct Place {
  unsigned row, column;  // of tiles
};

// Bands of 16 tiles of rows over all columns: what runs at a time shares rows of both matrices in L2.
__device__ Place place(unsigned tile, unsigned down, unsigned across) {
  constexpr unsigned kBand = 16;
  const unsigned band = tile / (kBand * across), inside = tile % (kBand * across);
  const unsigned height = min(kBand, down - band * kBand);
  return {band * kBand + inside % height, inside / height};
}

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    hopper_kernel(Linear task, bool wide, const __grid_constant__ CUtensorMap x,
                  const __grid_constant__ CUtensorMap w) {
  extern __shared__ unsigned char memory[];
  const std::uint32_t stages = (shared_of(memory) + 1023) / 1024 * 1024;
  const std::uint32_t full = stages + Shape::kStages * Shape::kStage, empty = full + 8 * Shape::kStages;
  const unsigned down = (static_cast<unsigned>(task.tokens) + Shape::kRows - 1) / Shape::kRows;
  const unsigned across = (static_cast<unsigned>(task.n) + Shape::kColumns - 1) / Shape::kColumns;
  const unsigned steps = (static_cast<unsigned>(task.k) + kDepth - 1) / kDepth;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shape::kStages; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, Shape::kInTurns ? 4 : 4 * Shape::kGroups);  // warps that read a stage
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const unsigned group = threadIdx.x / 128;

  if (group == Shape::kGroups) {
    if constexpr (Shape::kGroups == 2)
      asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    else
      asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
    if (threadIdx.x == 128 * Shape::kGroups) {
      unsigned filled = 0;
      for (unsigned tile = blockIdx.x; tile < down * across; tile += gridDim.x) {
        const Place at = place(tile, down, across);
        for (unsigned step = 0; step < steps; ++step, ++filled) {
          const unsigned slot = filled % Shape::kStages, round = filled / Shape::kStages;
          if (round > 0) barrier_wait(empty + 8 * slot, (round - 1) % 2);
          barrier_expect(full + 8 * slot, Shape::kStage);
          const std::uint32_t to = stages + slot * Shape::kStage;
          copy_box(to, &x, step * kDepth, at.row * Shape::kRows, full + 8 * slot);
          copy_box(to + Shape::kRows * kDepth * 2, &w, step * kDepth, at.column * Shape::kColumns, full + 8 * slot);
        }
      }
    }
  } else {
    if constexpr (Shape::kGroups == 2)
      asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    else
      asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
    const unsigned chunks = (steps + 15) / 16, chunk = (steps + chunks - 1) / chunks;
    const unsigned warp = threadIdx.x / 32 % 4;
    // In turns, a group multiplies only when the other is done multiplying. Without that it could take the end of a
    // phase of `full` that is the other's for its own: a wait knows the parity of a phase, not its number.
    if (Shape::kInTurns && group == 1) named_arrive(2);
    unsigned turn = 0;
    for (unsigned tile = blockIdx.x; tile < down * across; tile += gridDim.x, ++turn) {
      if (Shape::kInTurns && turn % 2 != group) continue;
      const Place at = place(tile, down, across);
      const unsigned first = Shape::kInTurns ? 0 : group * Shape::kGroupRows;
      Accumulators<WarpShape<Shape::kColumns>> sums[Shape::kProducts], totals[Shape::kInChunks ? Shape::kProducts : 1];
      if (Shape::kInTurns) named_wait(2 + group);
      for (unsigned step = 0; step < steps; ++step) {
        const unsigned used = turn * steps + step, slot = used % Shape::kStages;
        barrier_wait(full + 8 * slot, used / Shape::kStages % 2);
        const std::uint32_t rows = stages + slot * Shape::kStage + first * kDepth * 2;
        const std::uint32_t columns = stages + slot * Shape::kStage + Shape::kRows * kDepth * 2;
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < kDepth / 16; ++i)
#pragma unroll
          for (int p = 0; p < Shape::kProducts; ++p)
            wgmma<Shape::kColumns>(reinterpret_cast<float (&)[Shape::kColumns / 2]>(sums[p].c),
                                   swizzled_matrix(rows + p * 64 * kDepth * 2 + i * 32),
                                   swizzled_matrix(columns + i * 32));
        wgmma_commit();
        wgmma_wait();
        if (threadIdx.x % 32 == 0) barrier_arrive(empty + 8 * slot);
        if constexpr (Shape::kInChunks)
          if ((step + 1) % chunk == 0 || step + 1 == steps)
#pragma unroll
            for (int p = 0; p < Shape::kProducts; ++p)
#pragma unroll
              for (int j = 0; j < Shape::kColumns / 2; ++j) {
                totals[p].c[0][j / 4][j % 4] += sums[p].c[0][j / 4][j % 4];
                sums[p].c[0][j / 4][j % 4] = 0;
              }
      }
      if (Shape::kInTurns) named_arrive(3 - group);
#pragma unroll
      for (int p = 0; p < Shape::kProducts; ++p) {
        const Epilogue<WarpShape<Shape::kColumns>, Bf16> epilogue = {
            task, std::size_t{at.row} * Shape::kRows + first + p * 64 + warp * 16,
            std::size_t{at.column} * Shape::kColumns};
        epilogue.finish(Shape::kInChunks ? totals[Shape::kInChunks ? p : 0] : sums[p], wide);
      }
    }
  }
}

// A matrix [rows, k] in boxes of `box` rows by 64 of k. The driver's function is found at run time: libcuda is not
// linked.
CUtensorMap map_of(const void* matrix, std::size_t rows, std::size_t k, int box) {
  static PFN_cuTensorMapEncodeTiled_v12000 encode = nullptr;
  if (!encode) {
    cudaDriverEntryPointQueryResult found;
    void* function = nullptr;
    CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
    encode = reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }
  CUtensorMap map;
  const cuuint64_t sizes[] = {k, rows}, strides[] = {k * 2};
  const cuuint32_t boxes[] = {kDepth, static_cast<cuuint32_t>(box)}, ones[] = {1, 1};
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(matrix), sizes, strides,
                                 boxes, ones, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    std::printf("{\"error\": \"cuTensorMapEncodeTiled: %d\"}\n", result);
    std::exit(1);
  }
  return map;
}

__global__ void count_differences(const std::uint32_t* a, const std::uint32_t* b, std::size_t words,
                                  unsigned long long* count) {
  unsigned long long mine = 0;
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < words;
       i += std::size_t{gridDim.x} * blockDim.x)
    mine += a[i] != b[i];
  if (mine) atomicAdd(count, mine);
}

struct Run {
  cudaStream_t stream;
  Chip chip;
  std::uint16_t *x, *residual, *out, *expected;
  unsigned long long* differences;

  void product(const char* model, int layers, const char* name, std::size_t n, std::size_t k,
               filbert_activation activation, bool with_residual) {
    std::vector<std::uint16_t*> weights;
    for (int i = 0; i < layers; ++i) weights.push_back(random(n * k, 7 + i, 1.0f / std::sqrt(static_cast<float>(k))));
    std::vector<float> values(n, 0.01f);
    float* bias;
    CHECK(cudaMalloc(&bias, n * 4));
    CHECK(cudaMemcpy(bias, values.data(), n * 4, cudaMemcpyHostToDevice));
    for (const std::size_t m : {100, 512, 4096, 65536}) {
      const auto task = [&](int i, std::uint16_t* to) {
        return Linear{x,          weights[static_cast<std::size_t>(i) % weights.size()],
                      bias,       with_residual ? residual : nullptr,
                      activation, m,
                      n,          k,
                      to};
      };
      const int calls = m <= 512 ? std::max(48 / layers, 1) * layers : m <= 4096 ? 12 : 3;
      const auto plain = [&](int i) {
        return linear_16bit(Type::bf16, choose_gemm_tile(m, n, chip), task(i, expected), stream);
      };
      const double plain_us = graph_us(stream, calls, plain);
      CHECK(plain(0));
      print(model, name, m, n, k, "mma.sync, chosen tile", plain_us, -1);
      hopper<HopperShape<128, 256, false, 4>>(model, name, "128x256 together", m, n, k, calls, weights, task);
      hopper<HopperShape<128, 128, true, 6>>(model, name, "128x128 in turns", m, n, k, calls, weights, task);
      hopper<HopperShape<64, 256, true, 5>>(model, name, "64x256 in turns", m, n, k, calls, weights, task);
      hopper<HopperShape<192, 128, false, 5, 3, true>>(model, name, "192x128 in chunks", m, n, k, calls, weights, task);
      hopper<HopperShape<128, 192, false, 5, 2, true>>(model, name, "128x192 in chunks", m, n, k, calls, weights, task);
    }
    for (std::uint16_t* weight : weights) CHECK(cudaFree(weight));
    CHECK(cudaFree(bias));
  }

  template <typename Shape, typename Task>
  void hopper(const char* model, const char* name, const char* what, std::size_t m, std::size_t n, std::size_t k,
              int calls, const std::vector<std::uint16_t*>& weights, const Task& task) {
    const CUtensorMap of_x = map_of(x, m, k, Shape::kRows);
    std::vector<CUtensorMap> of_w;
    for (const std::uint16_t* weight : weights) of_w.push_back(map_of(weight, n, k, Shape::kColumns));
    CHECK(cudaFuncSetAttribute(hopper_kernel<Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kSharedBytes));
    const std::size_t tiles = (m + Shape::kRows - 1) / Shape::kRows * ((n + Shape::kColumns - 1) / Shape::kColumns);
    const auto blocks = static_cast<unsigned>(std::min<std::size_t>(tiles, chip.multiprocessors));
    const auto call = [&](int i) {
      hopper_kernel<Shape><<<blocks, Shape::kThreads, Shape::kSharedBytes, stream>>>(
          task(i, out), n % 8 == 0, of_x, of_w[static_cast<std::size_t>(i) % of_w.size()]);
      return cudaGetLastError();
    };
    CHECK(cudaMemsetAsync(out, 0xff, m * n * 2, stream));
    CHECK(call(0));
    unsigned long long found = 0;
    CHECK(cudaMemsetAsync(differences, 0, 8, stream));
    count_differences<<<1024, 256, 0, stream>>>(reinterpret_cast<std::uint32_t*>(out),
                                                reinterpret_cast<std::uint32_t*>(expected), m * n / 2, differences);
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemcpy(&found, differences, 8, cudaMemcpyDeviceToHost));
    print(model, name, m, n, k, what, graph_us(stream, calls, call), static_cast<long long>(found));
  }

  static void print(const char* model, const char* name, std::size_t m, std::size_t n, std::size_t k, const char* what,
                    double us, long long different) {
    std::printf(
        "{\"model\": \"%s\", \"product\": \"%s\", \"m\": %zu, \"n\": %zu, \"k\": %zu, \"kernel\": \"%s\", \"us\": "
        "%.2f, "
        "\"tflops\": %.1f, \"words_that_differ\": %lld}\n",
        model, name, m, n, k, what, us, 2.0 * double(m) * double(n) * double(k) / us / 1e6, different);
    std::fflush(stdout);
  }
};

}  // namespace

int main() {
  cudaDeviceProp device;
  CHECK(cudaGetDeviceProperties(&device, 0));
  Run run = {};
  CHECK(cudaStreamCreateWithFlags(&run.stream, cudaStreamNonBlocking));
  run.chip = {device.multiProcessorCount, device.sharedMemPerBlockOptin};
  constexpr std::size_t kMost = std::size_t{65536} * 4096;
  run.x = random(kMost, 1), run.residual = random(kMost, 2), run.out = random(kMost, 3),
  run.expected = random(kMost, 4);
  CHECK(cudaMalloc(&run.differences, 8));
  const struct {
    const char* name;
    int layers;
    std::size_t hidden;
  } models[] = {{"BERT-base", 12, 768}, {"BERT-large", 24, 1024}, {"MiniLM-L6", 6, 384}};
  for (const auto& model : models) {
    const std::size_t h = model.hidden;
    run.product(model.name, model.layers, "up", 4 * h, h, FILBERT_GELU_ERF, false);
    run.product(model.name, model.layers, "down", h, 4 * h, FILBERT_IDENTITY, true);
    run.product(model.name, model.layers, "qkv", 3 * h, h, FILBERT_IDENTITY, false);
    run.product(model.name, model.layers, "out", h, h, FILBERT_IDENTITY, true);
  }
}
