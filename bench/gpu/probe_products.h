// What probe.cu says of instructions: the bits, the latency and the rate of products.
#pragma once

#include <cuda_runtime.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>
#include "check.h"
#include "wgmma.h"

namespace {

cudaDeviceProp device;

// ---- PTX

template <bool Bf16>
__device__ void mma_k16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (Bf16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <bool Bf16>
__device__ void mma_k8(float (&c)[4], std::uint32_t a0, std::uint32_t a1, std::uint32_t b) {
  if constexpr (Bf16)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(b));
  else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(b));
}

// ---- bits

constexpr int kRows = 64, kChunk = 256;  // of k that is in shared memory at a time

template <bool Bf16>
__global__ void __launch_bounds__(128)
    multiply_with_mma(const std::uint16_t* x, const std::uint16_t* w, int k, bool halves, float* out) {
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const auto pair = [k](const std::uint16_t* m, int row, int at) {
    return *reinterpret_cast<const std::uint32_t*>(m + static_cast<std::size_t>(row) * k + at);
  };
  for (int j = 0; j < 8; ++j) {
    float c[4] = {};
    const int row = warp * 16 + g, column = j * 8 + g;
    for (int at = 0; at < k; at += 16) {
      const std::uint32_t a[4] = {pair(x, row, at + 2 * t), pair(x, row + 8, at + 2 * t), pair(x, row, at + 2 * t + 8),
                                  pair(x, row + 8, at + 2 * t + 8)};
      const std::uint32_t b[2] = {pair(w, column, at + 2 * t), pair(w, column, at + 2 * t + 8)};
      if (halves) {
        mma_k8<Bf16>(c, a[0], a[1], b[0]);
        mma_k8<Bf16>(c, a[2], a[3], b[1]);
      } else {
        mma_k16<Bf16>(c, a, b);
      }
    }
    for (int e = 0; e < 4; ++e) out[(row + e / 2 * 8) * 64 + j * 8 + 2 * t + e % 2] = c[e];
  }
}

template <bool Bf16>
__global__ void __launch_bounds__(128)
    multiply_with_wgmma(const std::uint16_t* x, const std::uint16_t* w, int k, float* out) {
  extern __shared__ __align__(1024) std::uint16_t tiles[];  // of x, then of w: [k / 8][row / 8][row % 8][k % 8]
  std::uint16_t* tile_w = tiles + kRows * kChunk;
  float d[32] = {};
  for (int begin = 0; begin < k; begin += kChunk) {
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * kChunk; i += 128) {
      const int row = i / kChunk, at = i % kChunk;
      const int to = (at / 8) * (kRows * 8) + row * 8 + at % 8;
      tiles[to] = x[static_cast<std::size_t>(row) * k + begin + at];
      tile_w[to] = w[static_cast<std::size_t>(row) * k + begin + at];
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    wgmma_fence();
    for (int at = 0; at < kChunk; at += 16)
      wgmma<64, Bf16>(d, matrix(tiles + at * kRows, kRows * 16, 128), matrix(tile_w + at * kRows, kRows * 16, 128));
    wgmma_commit();
    wgmma_wait();
  }
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int i = 0; i < 32; ++i) out[(warp * 16 + g + i % 4 / 2 * 8) * 64 + i / 4 * 8 + 2 * t + i % 2] = d[i];
}

std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float of_bf16(std::uint16_t value) {
  const std::uint32_t bits = std::uint32_t{value} << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}
std::uint16_t to_half(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  std::uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
float of_half(std::uint16_t value) {
  _Float16 half;
  std::memcpy(&half, &value, 2);
  return static_cast<float>(half);
}

template <typename T>
T* upload(const std::vector<T>& values) {
  T* memory = nullptr;
  CHECK(cudaMalloc(&memory, values.size() * sizeof(T)));
  CHECK(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return memory;
}

template <bool Bf16>
void compare_bits(const char* kind, int k) {
  std::mt19937 generator(k + Bf16);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-7, 7);
  const bool wide = std::strcmp(kind, "wide") == 0, positive = std::strcmp(kind, "positive") == 0;
  const auto draw = [&](std::size_t count) {
    std::vector<std::uint16_t> values(count);
    for (auto& value : values) {
      float x = normal(generator);
      if (wide) x = std::ldexp(x, exponent(generator));
      if (positive) x = std::fabs(x);
      value = Bf16 ? to_bf16(x) : to_half(x);
    }
    return values;
  };
  const auto x = draw(std::size_t{kRows} * k), w = draw(std::size_t{kRows} * k);
  const std::uint16_t *on_x = upload(x), *on_w = upload(w);
  float* out = nullptr;
  CHECK(cudaMalloc(&out, 64 * 64 * sizeof(float)));
  const auto result = [&](const std::function<void()>& launch) {
    CHECK(cudaMemset(out, 0xff, 64 * 64 * sizeof(float)));
    launch();
    CHECK(cudaGetLastError());
    std::vector<float> values(64 * 64);
    CHECK(cudaMemcpy(values.data(), out, values.size() * sizeof(float), cudaMemcpyDeviceToHost));
    return values;
  };
  constexpr int kShared = 2 * 2 * kRows * kChunk;
  CHECK(cudaFuncSetAttribute(multiply_with_wgmma<Bf16>, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const auto mma = result([&] { multiply_with_mma<Bf16><<<1, 128>>>(on_x, on_w, k, false, out); });
  const auto halves = result([&] { multiply_with_mma<Bf16><<<1, 128>>>(on_x, on_w, k, true, out); });
  const auto wide_group = result([&] { multiply_with_wgmma<Bf16><<<1, 128, kShared>>>(on_x, on_w, k, out); });
  const auto different = [&](const std::vector<float>& other) {
    int count = 0;
    for (std::size_t i = 0; i < mma.size(); ++i) count += std::memcmp(&mma[i], &other[i], 4) != 0;
    return count;
  };
  // Against double precision, relative to the sum of magnitudes: the mean shows a bias towards zero.
  double largest = 0, bias = 0;
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 64; ++j) {
      double sum = 0, size = 0;
      for (int at = 0; at < k; ++at) {
        const std::uint16_t a = x[static_cast<std::size_t>(i) * k + at], b = w[static_cast<std::size_t>(j) * k + at];
        const double product = Bf16 ? double(of_bf16(a)) * of_bf16(b) : double(of_half(a)) * of_half(b);
        sum += product;
        size += std::fabs(product);
      }
      const double error = (mma[i * 64 + j] - sum) / size;
      largest = std::max(largest, std::fabs(error));
      bias += (sum < 0 ? -error : error) / (64 * 64);
    }
  std::printf(
      "{\"section\": \"bits\", \"type\": \"%s\", \"numbers\": \"%s\", \"k\": %d, \"of\": %zu, "
      "\"wgmma_differs\": %d, \"k8_differs\": %d, \"largest_error\": %.3g, \"mean_error\": %.3g}\n",
      Bf16 ? "bf16" : "f16", kind, k, mma.size(), different(wide_group), different(halves), largest, bias);
  std::fflush(stdout);
}

void bits() {
  for (const int k : {256, 768, 4096})
    for (const char* kind : {"normal", "wide", "positive"}) {
      compare_bits<true>(kind, k);
      compare_bits<false>(kind, k);
    }
}

// ---- latency and rate

__global__ void mma_chain(int steps, long long* cycles, float* out) {
  float c[4] = {};
  const std::uint32_t a[4] = {threadIdx.x, 2, 3, 4}, b[2] = {threadIdx.x, 6};
  __syncthreads();
  const long long begin = clock64();
  for (int i = 0; i < steps; i += 16) {
#pragma unroll
    for (int j = 0; j < 16; ++j) mma_k16<true>(c, a, b);
  }
  const long long end = clock64();
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = end - begin;
  out[blockIdx.x * blockDim.x + threadIdx.x] = c[0] + c[1] + c[2] + c[3];
}

// `Ahead` independent chains a warp.
template <int Ahead>
__global__ void mma_rate(int steps, const std::uint32_t* random, float* out) {
  float c[Ahead][4] = {};
  std::uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = random[(threadIdx.x * 4 + i) % 4096];
  for (int i = 0; i < 2; ++i) b[i] = random[(threadIdx.x * 2 + i + 77) % 4096];
  for (int s = 0; s < steps; ++s)
#pragma unroll
    for (int i = 0; i < Ahead; ++i) mma_k16<true>(c[i], a, b);
  float sum = 0;
  for (int i = 0; i < Ahead; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Groups of 4 warps, each 64 x N sums; 16 steps of k16 to a commit. Shared memory holds 64 of k of both operands.
template <int N>
__global__ void __launch_bounds__(256, 1)
    wgmma_chain(int rounds, const std::uint32_t* random, long long* cycles, float* out) {
  extern __shared__ __align__(1024) std::uint16_t tiles[];
  constexpr int kDepth = 64;
  const int words = (128 + N) * kDepth / 2;
  for (int i = threadIdx.x; i < words; i += blockDim.x) reinterpret_cast<std::uint32_t*>(tiles)[i] = random[i % 4096];
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const std::uint16_t* x = tiles + threadIdx.x / 128 * 64 * kDepth;
  const std::uint16_t* w = tiles + 128 * kDepth;
  float d[N / 2] = {};
  const long long begin = clock64();
  for (int i = 0; i < rounds; ++i) {
    wgmma_fence();
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const int at = j % 4 * 16;
      wgmma<N>(d, matrix(x + at * 64, 64 * 16, 128), matrix(w + at * N, N * 16, 128));
    }
    wgmma_commit();
    wgmma_wait();
  }
  const long long end = clock64();
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = end - begin;
  float sum = 0;
  for (const float value : d) sum += value;
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

std::uint32_t* random_pairs() {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<std::uint32_t> values(4096);
  for (auto& value : values) value = to_bf16(normal(generator)) | std::uint32_t{to_bf16(normal(generator))} << 16;
  return upload(values);
}

float event_ms(const std::function<void()>& body, int runs = 7) {
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i <= runs; ++i) {
    CHECK(cudaEventRecord(begin));
    body();
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    float time = 0;
    CHECK(cudaEventElapsedTime(&time, begin, end));
    if (i > 0) times.push_back(time);
  }
  CHECK(cudaGetLastError());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

template <int N>
void one_wgmma(const std::uint32_t* random, long long* cycles, float* out, bool rate) {
  constexpr int kShared = (128 + N) * 64 * 2;
  CHECK(cudaFuncSetAttribute(wgmma_chain<N>, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  if (rate) {
    constexpr int kRounds = 4096;
    const double flop = 2.0 * 128 * N * 16 * 16 * kRounds * device.multiProcessorCount;
    const float ms =
        event_ms([&] { wgmma_chain<N><<<device.multiProcessorCount, 256, kShared>>>(kRounds, random, cycles, out); });
    std::printf("{\"section\": \"rate\", \"what\": \"wgmma m64n%dk16, two groups\", \"tflops\": %.1f, \"ms\": %.2f}\n",
                N, flop / ms / 1e9, ms);
    return;
  }
  for (const int threads : {128, 256}) {
    constexpr int kRounds = 64;
    for (int i = 0; i < 2; ++i) wgmma_chain<N><<<1, threads, kShared>>>(kRounds, random, cycles, out);
    long long found = 0;
    CHECK(cudaMemcpy(&found, cycles, sizeof(found), cudaMemcpyDeviceToHost));
    std::printf("{\"section\": \"latency\", \"what\": \"wgmma m64n%dk16, %d groups\", \"cycles\": %.1f}\n", N,
                threads / 128, double(found) / kRounds / 16);
  }
}

void latency() {
  const std::uint32_t* random = random_pairs();
  long long *cycles, found = 0;
  float* out;
  CHECK(cudaMalloc(&cycles, 8));
  CHECK(cudaMalloc(&out, 1 << 20));
  for (int i = 0; i < 2; ++i) mma_chain<<<1, 32>>>(1024, cycles, out);
  CHECK(cudaMemcpy(&found, cycles, sizeof(found), cudaMemcpyDeviceToHost));
  std::printf("{\"section\": \"latency\", \"what\": \"mma.sync m16n8k16\", \"cycles\": %.1f}\n", found / 1024.0);
  one_wgmma<8>(random, cycles, out, false);
  one_wgmma<16>(random, cycles, out, false);
  one_wgmma<32>(random, cycles, out, false);
  one_wgmma<64>(random, cycles, out, false);
  one_wgmma<128>(random, cycles, out, false);
  one_wgmma<256>(random, cycles, out, false);
}

void rate() {
  const std::uint32_t* random = random_pairs();
  long long* cycles;
  float* out;
  CHECK(cudaMalloc(&cycles, 8));
  CHECK(cudaMalloc(&out, 4 << 20));
  one_wgmma<128>(random, cycles, out, true);
  one_wgmma<256>(random, cycles, out, true);
  constexpr int kSteps = 1 << 15, kAhead = 8;
  const float ms = event_ms([&] { mma_rate<kAhead><<<device.multiProcessorCount, 512>>>(kSteps, random, out); });
  const double flop = 2.0 * 16 * 8 * 16 * kAhead * kSteps * 16 * device.multiProcessorCount;
  std::printf("{\"section\": \"rate\", \"what\": \"mma.sync m16n8k16, 16 warps\", \"tflops\": %.1f, \"ms\": %.2f}\n",
              flop / ms / 1e9, ms);
}

}  // namespace
