// 16 floats: AVX-512 F, BW, DQ, VL.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Vec {
  __m512 v;
};
inline constexpr std::size_t kWidth = 16;
inline constexpr std::size_t kTileRows = 6;
inline constexpr std::size_t kVectorsPerPanel = 4;  // 6 x 4 accumulators, 4 columns, 1 broadcast: 29 of 32 registers
inline constexpr std::size_t kThreadRows = 32;      // with fewer of a thread, columns are split over threads

inline __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

// Into L2.
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_first(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
// bfloat16 to floats
inline Vec load(const std::uint16_t* p) {
  const __m512i numbers = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(numbers, 16))};
}
inline Vec load_first(const std::uint16_t* p, std::size_t n) {
  const __m512i numbers = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(numbers, 16))};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(float* p, Vec a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline Vec keep_first(Vec a, std::size_t n) { return {_mm512_maskz_mov_ps(first(n), a.v)}; }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec accumulate(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
// The larger one, or the one that is a number.
inline Vec max_number(Vec a, Vec b) {
  return {_mm512_mask_mov_ps(_mm512_max_ps(a.v, b.v), _mm512_cmp_ps_mask(b.v, b.v, _CMP_UNORD_Q), a.v)};
}
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}
// condition < limit ? a : b
inline Vec select_less(Vec condition, Vec limit, Vec a, Vec b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(condition.v, limit.v, _CMP_LT_OQ), b.v, a.v)};
}
// a * 2^n for integral n in [-126, 127]
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

inline float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float reduce_max(Vec a) { return _mm512_reduce_max_ps(a.v); }

// The larger of |m| and |a|, or a NaN if there is one, which as an integer is larger still; m is not negative.
inline Vec max_magnitude(Vec m, Vec a) {
  return {_mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(m.v), _mm512_castps_si512(abs(a).v)))};
}
inline float reduce_max_magnitude(Vec m) {
  const int bits = _mm512_reduce_max_epi32(_mm512_castps_si512(m.v));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

// Lane i becomes a[i] + a[i ^ Stride], or their difference where i has that bit.
template <std::size_t Stride>
inline Vec butterfly(Vec a) {
  if constexpr (Stride == 1)
    return {_mm512_mask_sub_ps(_mm512_add_ps(a.v, _mm512_permute_ps(a.v, 0xb1)), 0xaaaa, _mm512_permute_ps(a.v, 0xb1),
                               a.v)};
  else if constexpr (Stride == 2)
    return {_mm512_mask_sub_ps(_mm512_add_ps(a.v, _mm512_permute_ps(a.v, 0x4e)), 0xcccc, _mm512_permute_ps(a.v, 0x4e),
                               a.v)};
  else if constexpr (Stride == 4)
    return {_mm512_mask_sub_ps(_mm512_add_ps(a.v, _mm512_shuffle_f32x4(a.v, a.v, 0xb1)), 0xf0f0,
                               _mm512_shuffle_f32x4(a.v, a.v, 0xb1), a.v)};
  else
    return {_mm512_mask_sub_ps(_mm512_add_ps(a.v, _mm512_shuffle_f32x4(a.v, a.v, 0x4e)), 0xff00,
                               _mm512_shuffle_f32x4(a.v, a.v, 0x4e), a.v)};
}

// float(integer - offset), the integers given as bits
inline Vec unshift(const float* bits, const std::int32_t* offsets, std::size_t n) {
  const __m512i value = _mm512_castps_si512(load_first(bits, n).v);
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(value, _mm512_maskz_loadu_epi32(first(n), offsets)))};
}

// 16 words of 32 bits, each a pair of bfloat16
struct Words {
  __m512i v;
};
inline Words load_words(const std::uint32_t* p) { return {_mm512_loadu_si512(p)}; }
inline Words set_words(std::uint32_t word) { return {_mm512_set1_epi32(static_cast<int>(word))}; }
inline void store_words(std::uint32_t* p, Words a) { _mm512_storeu_si512(p, a.v); }
inline Vec even_bf16(Words a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))}; }
inline Vec odd_bf16(Words a) {
  return {_mm512_castsi512_ps(_mm512_and_si512(a.v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}
// The upper half is the float rounded to bfloat16, to nearest even; NaN stays one.
inline __m512i round_bf16(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
}
inline void store_bf16(std::uint16_t* p, Vec a) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(a.v));
#else
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_bf16(a), 16)));
#endif
}
inline Words pair_bf16(Vec low, Vec high) {
  return {_mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(round_bf16(low), 16), round_bf16(high))};
}

// out[i][j] = in[j][i] for 16 x 16 words
inline void transpose(const float* in, std::size_t stride, float* out, std::size_t out_stride) {
  __m512 a[16], b[16];
  const auto pairs = [](const __m512* from, __m512* to) {
    for (int i = 0; i < 16; i += 2) {
      to[i] = _mm512_unpacklo_ps(from[i], from[i + 1]);
      to[i + 1] = _mm512_unpackhi_ps(from[i], from[i + 1]);
    }
  };
  for (std::size_t i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(in + i * stride);
  pairs(a, b);
  for (int i = 0; i < 16; i += 4)
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(b[i + h]);
      const __m512d high = _mm512_castps_pd(b[i + h + 2]);
      a[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  // a[4 i + j] holds column 4 lane + j of rows 4 i .. 4 i + 3
  for (int j = 0; j < 4; ++j) {
    const __m512 p = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88);
    const __m512 q = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
    const __m512 r = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
    const __m512 s = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
    b[j] = _mm512_shuffle_f32x4(p, q, 0x88);
    b[8 + j] = _mm512_shuffle_f32x4(p, q, 0xdd);
    b[4 + j] = _mm512_shuffle_f32x4(r, s, 0x88);
    b[12 + j] = _mm512_shuffle_f32x4(r, s, 0xdd);
  }
  for (std::size_t i = 0; i < 16; ++i) _mm512_storeu_ps(out + i * out_stride, b[i]);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
