#include "peaks.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace filbert::bench {
namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Work per second of body(thread) on all threads, in the best of some runs.
double best_rate(int threads, double work_per_thread, const std::function<void(int)>& body) {
  double best = 0;
  for (int run = 0; run < 7; ++run) {
    std::vector<std::thread> helpers;
    const double begin = seconds();
    for (int i = 1; i < threads; ++i) helpers.emplace_back(body, i);
    body(0);
    for (std::thread& helper : helpers) helper.join();
    best = std::max(best, threads * work_per_thread / (seconds() - begin));
  }
  return best;
}

constexpr int kRounds = 1 << 24;  // of 24 independent instructions each, enough to hide their latency

#if defined(__x86_64__)

// `count` sums in registers, `operand` opaque to the compiler.
#define FILBERT_ROUNDS(count, sum_type, zero, operand, instruction)                 \
  sum_type sums[count];                                                             \
  for (auto& sum : sums) sum = zero;                                                \
  for (int i = 0; i < 24 / count * kRounds; ++i) {                                  \
    __asm__ volatile("" : "+v"(operand));                                           \
    _Pragma("GCC unroll 24") for (int j = 0; j < count; ++j) sums[j] = instruction; \
  }                                                                                 \
  for (auto& sum : sums) __asm__ volatile("" : : "v"(sum));

__attribute__((target("avx2,fma"))) void fma_256(int) {
  __m256 one = _mm256_set1_ps(1.0f);
  FILBERT_ROUNDS(12, __m256, _mm256_setzero_ps(), one, _mm256_fmadd_ps(one, one, sums[j]))
}
__attribute__((target("avxvnni,avx2"))) void vnni_256(int) {
  __m256i one = _mm256_set1_epi8(1);
  FILBERT_ROUNDS(12, __m256i, _mm256_setzero_si256(), one, _mm256_dpbusd_avx_epi32(sums[j], one, one))
}
__attribute__((target("avx2"))) void madd_256(int) {
  __m256i one = _mm256_set1_epi16(1);
  FILBERT_ROUNDS(12, __m256i, _mm256_setzero_si256(), one, _mm256_add_epi32(sums[j], _mm256_madd_epi16(one, sums[j])))
}
__attribute__((target("avx512f"))) void fma_512(int) {
  __m512 one = _mm512_set1_ps(1.0f);
  FILBERT_ROUNDS(24, __m512, _mm512_setzero_ps(), one, _mm512_fmadd_ps(one, one, sums[j]))
}
__attribute__((target("avx512f,avx512vnni"))) void vnni_512(int) {
  __m512i one = _mm512_set1_epi8(1);
  FILBERT_ROUNDS(24, __m512i, _mm512_setzero_si512(), one, _mm512_dpbusd_epi32(sums[j], one, one))
}
__attribute__((target("avx512f,avx512bw"))) void madd_512(int) {
  __m512i one = _mm512_set1_epi16(1);
  FILBERT_ROUNDS(24, __m512i, _mm512_setzero_si512(), one, _mm512_add_epi32(sums[j], _mm512_madd_epi16(one, sums[j])))
}
__attribute__((target("avx512f,avx512bf16"))) void bf16_512(int) {
  __m512bh one = (__m512bh)_mm512_set1_epi16(0x3f80);
  FILBERT_ROUNDS(24, __m512, _mm512_setzero_ps(), one, _mm512_dpbf16_ps(sums[j], one, one))
}

constexpr int kTileRounds = 1 << 20;  // of four tiles

__attribute__((target("amx-tile"))) void configure_tiles() {
  struct alignas(64) {
    std::uint8_t palette = 1;
    std::uint8_t rest[15] = {};
    std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } static const config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}
__attribute__((target("amx-tile,amx-bf16"))) void bf16_tiles(int) {
  configure_tiles();
  for (int i = 0; i < kTileRounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
__attribute__((target("amx-tile,amx-int8"))) void int8_tiles(int) {
  configure_tiles();
  for (int i = 0; i < kTileRounds; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}

void multiply_peaks(const std::string& isa, int threads, Peaks& peaks) {
  const auto giga = [&](double numbers_per_instruction, void (*body)(int)) {
    return best_rate(threads, 24.0 * kRounds * 2 * numbers_per_instruction, body) / 1e9;
  };
  if (isa == "avx2" || isa == "avx_vnni") {
    peaks.fp32_gflops = giga(8, fma_256);
    peaks.int8_gops = isa == "avx_vnni" ? giga(32, vnni_256) : giga(16, madd_256);
  } else if (isa != "scalar") {
    peaks.fp32_gflops = giga(16, fma_512);
    peaks.int8_gops = isa == "avx512" ? giga(32, madd_512) : giga(64, vnni_512);
    if (isa == "avx512_bf16") peaks.bf16_gflops = giga(32, bf16_512);
  }
  if (isa == "amx") {
    const double tile = 4.0 * kTileRounds * 2 * 16 * 16;
    peaks.bf16_gflops = best_rate(threads, tile * 32, bf16_tiles) / 1e9;
    peaks.int8_gops = best_rate(threads, tile * 64, int8_tiles) / 1e9;
  }
}

#else

void multiply_peaks(const std::string&, int, Peaks&) {}

#endif

double read_rate(int threads) {
  const std::size_t share = (std::size_t{400} << 20) / static_cast<std::size_t>(threads) / 64 * 16;  // floats
  std::vector<float> data(share * static_cast<std::size_t>(threads), 1.0f);
  return best_rate(threads, static_cast<double>(share * sizeof(float)),
                   [&](int thread) {
                     const float* p = data.data() + share * static_cast<std::size_t>(thread);
                     float sums[64] = {};
                     for (std::size_t i = 0; i + 64 <= share; i += 64)
                       for (std::size_t j = 0; j < 64; ++j) sums[j] += p[i + j];
                     __asm__ volatile("" : : "r"(sums) : "memory");
                   }) /
         1e9;
}

}  // namespace

Peaks measure_peaks(const std::string& isa, int threads) {
  Peaks peaks;
  multiply_peaks(isa, threads, peaks);
  peaks.read_gbps = read_rate(threads);
  return peaks;
}

}  // namespace filbert::bench
