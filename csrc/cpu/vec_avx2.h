// 8 floats: AVX2 and FMA.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Vec {
  __m256 v;
};
inline constexpr std::size_t kWidth = 8;
inline constexpr std::size_t kTileRows = 6;
inline constexpr std::size_t kVectorsPerPanel = 2;  // 6 x 2 accumulators, 2 columns, 1 broadcast: 15 of 16 registers
inline constexpr std::size_t kThreadRows = 64;      // with fewer of a thread, columns are split over threads

alignas(32) constexpr std::int32_t kMasks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
inline __m256i first(std::size_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks + (kWidth - n)));
}

// Into L2.
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
// Whole vectors without a mask: on AMD a masked store is a loop in microcode.
inline Vec load_first(const float* p, std::size_t n) {
  return n == kWidth ? load(p) : Vec{_mm256_maskload_ps(p, first(n))};
}
inline void store_first(float* p, Vec a, std::size_t n) {
  if (n == kWidth)
    store(p, a);
  else
    _mm256_maskstore_ps(p, first(n), a.v);
}
inline Vec keep_first(Vec a, std::size_t n) { return {_mm256_and_ps(a.v, _mm256_castsi256_ps(first(n)))}; }
inline Vec set(float x) { return {_mm256_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// fma in the register of the sum, where all are in use: compilers like another one, and spill.
inline Vec accumulate(Vec a, Vec b, Vec sum) {
  __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(a.v), "x"(b.v));
  return sum;
}
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
// The larger one, or the one that is a number.
inline Vec max_number(Vec a, Vec b) {
  return {_mm256_blendv_ps(_mm256_max_ps(a.v, b.v), a.v, _mm256_cmp_ps(b.v, b.v, _CMP_UNORD_Q))};
}
inline Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
}
// condition < limit ? a : b
inline Vec select_less(Vec condition, Vec limit, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(condition.v, limit.v, _CMP_LT_OQ))};
}
// a * 2^n for integral n in [-126, 127]
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)))};
}

inline float reduce_add(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float reduce_max(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

// The larger of |m| and |a|, or a NaN if there is one, which as an integer is larger still; m is not negative.
inline Vec max_magnitude(Vec m, Vec a) {
  return {_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(m.v), _mm256_castps_si256(abs(a).v)))};
}
inline float reduce_max_magnitude(Vec m) {
  const __m256i bits = _mm256_castps_si256(m.v);
  __m128i s = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(s));
}

// Lane i becomes a[i] + a[i ^ Stride], or their difference where i has that bit.
template <std::size_t Stride>
inline Vec butterfly(Vec a) {
  const auto combine = [&](__m256 other, __m256 signs) { return Vec{_mm256_add_ps(other, _mm256_xor_ps(a.v, signs))}; };
  if constexpr (Stride == 1)
    return combine(_mm256_permute_ps(a.v, 0xb1), _mm256_setr_ps(0, -0.0f, 0, -0.0f, 0, -0.0f, 0, -0.0f));
  else if constexpr (Stride == 2)
    return combine(_mm256_permute_ps(a.v, 0x4e), _mm256_setr_ps(0, 0, -0.0f, -0.0f, 0, 0, -0.0f, -0.0f));
  else
    return combine(_mm256_permute2f128_ps(a.v, a.v, 1), _mm256_setr_ps(0, 0, 0, 0, -0.0f, -0.0f, -0.0f, -0.0f));
}

// float(integer - offset), the integers given as bits
inline Vec unshift(const float* bits, const std::int32_t* offsets, std::size_t n) {
  const __m256i value = _mm256_castps_si256(load_first(bits, n).v);
  const __m256i offset = _mm256_castps_si256(load_first(reinterpret_cast<const float*>(offsets), n).v);
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(value, offset))};
}

// 8 words of 32 bits, each a pair of bfloat16
struct Words {
  __m256i v;
};
inline Words load_words(const std::uint32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline Words set_words(std::uint32_t word) { return {_mm256_set1_epi32(static_cast<int>(word))}; }
inline void store_words(std::uint32_t* p, Words a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline Vec even_bf16(Words a) { return {_mm256_castsi256_ps(_mm256_slli_epi32(a.v, 16))}; }
inline Vec odd_bf16(Words a) {
  return {_mm256_castsi256_ps(_mm256_and_si256(a.v, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
}
// The upper half is the float rounded to bfloat16, to nearest even; NaN stays one.
inline __m256i round_bf16(Vec a) {
  const __m256i bits = _mm256_castps_si256(a.v);
  const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
}
inline void store_bf16(std::uint16_t* p, Vec a) {
  const __m256i bits = _mm256_srli_epi32(round_bf16(a), 16);
  const __m128i low = _mm256_castsi256_si128(bits);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packus_epi32(low, _mm256_extracti128_si256(bits, 1)));
}
inline Words pair_bf16(Vec low, Vec high) {
  return {_mm256_blend_epi16(_mm256_srli_epi32(round_bf16(low), 16), round_bf16(high), 0xaa)};
}

// out[i][j] = in[j][i] for 8 x 8 words
inline void transpose(const float* in, std::size_t stride, float* out, std::size_t out_stride) {
  __m256 a[8], b[8];
  for (std::size_t i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(in + i * stride);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int h = 0; h < 2; ++h) {
      a[i + 2 * h] = _mm256_shuffle_ps(b[i + h], b[i + h + 2], 0x44);
      a[i + 2 * h + 1] = _mm256_shuffle_ps(b[i + h], b[i + h + 2], 0xee);
    }
  for (std::size_t i = 0; i < 4; ++i) {
    _mm256_storeu_ps(out + i * out_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(out + (i + 4) * out_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
