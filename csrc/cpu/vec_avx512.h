// 16 floats: AVX-512 F, BW, DQ, VL.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Vec {
  __m512 v;
};
inline constexpr std::size_t kWidth = 16;
inline constexpr std::size_t kVectorsPerPanel = 4;  // 6 x 4 accumulators, 4 columns, 1 broadcast: 29 of 32 registers

inline __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_first(const float* p, std::size_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(float* p, Vec a, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline Vec keep_first(Vec a, std::size_t n) { return {_mm512_maskz_mov_ps(first(n), a.v)}; }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
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

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
