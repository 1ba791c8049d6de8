// 4 floats: AArch64 NEON.
#pragma once

#include <arm_neon.h>

#include <cstddef>

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Vec {
  float32x4_t v;
};
inline constexpr std::size_t kWidth = 4;
inline constexpr std::size_t kVectorsPerPanel = 4;  // 6 x 4 accumulators, 4 columns, 1 broadcast: 29 of 32 registers

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline Vec load_first(const float* p, std::size_t n) {
  float lanes[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline void store_first(float* p, Vec a, std::size_t n) {
  float lanes[4];
  store(lanes, a);
  for (std::size_t i = 0; i < n; ++i) p[i] = lanes[i];
}
inline Vec keep_first(Vec a, std::size_t n) {
  float lanes[4];
  store(lanes, a);
  return load_first(lanes, n);
}
inline Vec set(float x) { return {vdupq_n_f32(x)}; }
inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
inline Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
inline Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
inline Vec copy_sign(Vec magnitude, Vec sign) { return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)}; }
// condition < limit ? a : b
inline Vec select_less(Vec condition, Vec limit, Vec a, Vec b) {
  return {vbslq_f32(vcltq_f32(condition.v, limit.v), a.v, b.v)};
}
// a * 2^n for integral n in [-126, 127]
inline Vec scale_by_power(Vec a, Vec n) {
  const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n.v), vdupq_n_s32(127));
  return {vmulq_f32(a.v, vreinterpretq_f32_s32(vshlq_n_s32(biased, 23)))};
}

inline float reduce_add(Vec a) { return vaddvq_f32(a.v); }
inline float reduce_max(Vec a) { return vmaxvq_f32(a.v); }

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
