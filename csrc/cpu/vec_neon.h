// 4 floats: AArch64 NEON.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Vec {
  float32x4_t v;
};
inline constexpr std::size_t kWidth = 4;
inline constexpr std::size_t kTileRows = 6;
inline constexpr std::size_t kVectorsPerPanel = 4;  // 6 x 4 accumulators, 4 columns, 1 broadcast: 29 of 32 registers
inline constexpr std::size_t kThreadRows = 32;      // with fewer of a thread, columns are split over threads

// Into L2.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline Vec load_first(const float* p, std::size_t n) {
  if (n == kWidth) return load(p);
  float lanes[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
// bfloat16 to floats
inline Vec load(const std::uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
inline Vec load_first(const std::uint16_t* p, std::size_t n) {
  if (n == kWidth) return load(p);
  std::uint16_t lanes[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store(float* p, Vec a) { vst1q_f32(p, a.v); }
inline void store_first(float* p, Vec a, std::size_t n) {
  if (n == kWidth) return store(p, a);
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
inline Vec accumulate(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
// The larger one, or the one that is a number.
inline Vec max_number(Vec a, Vec b) { return {vmaxnmq_f32(a.v, b.v)}; }
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

// The larger of |m| and |a|, or a NaN if there is one.
inline Vec max_magnitude(Vec m, Vec a) { return max(m, abs(a)); }
inline float reduce_max_magnitude(Vec m) { return reduce_max(m); }

// Lane i becomes a[i] + a[i ^ Stride], or their difference where i has that bit.
template <std::size_t Stride>
inline Vec butterfly(Vec a) {
  constexpr std::uint32_t kSigns[2][4] = {{0, 1u << 31, 0, 1u << 31}, {0, 0, 1u << 31, 1u << 31}};
  const float32x4_t other = Stride == 1 ? vrev64q_f32(a.v) : vextq_f32(a.v, a.v, 2);
  const uint32x4_t signs = vld1q_u32(kSigns[Stride - 1]);
  return {vaddq_f32(other, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v), signs)))};
}

// float(integer - offset), the integers given as bits
inline Vec unshift(const float* bits, const std::int32_t* offsets, std::size_t n) {
  std::int32_t lanes[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < n; ++i) lanes[i] = offsets[i];
  return {vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(load_first(bits, n).v), vld1q_s32(lanes)))};
}

// 4 words of 32 bits, each a pair of bfloat16
struct Words {
  uint32x4_t v;
};
inline Words load_words(const std::uint32_t* p) { return {vld1q_u32(p)}; }
inline Words set_words(std::uint32_t word) { return {vdupq_n_u32(word)}; }
inline void store_words(std::uint32_t* p, Words a) { vst1q_u32(p, a.v); }
inline Vec even_bf16(Words a) { return {vreinterpretq_f32_u32(vshlq_n_u32(a.v, 16))}; }
inline Vec odd_bf16(Words a) { return {vreinterpretq_f32_u32(vandq_u32(a.v, vdupq_n_u32(0xffff0000u)))}; }
// The upper half is the float rounded to bfloat16, to nearest even; NaN stays one.
inline uint32x4_t round_bf16(Vec a) {
  const uint32x4_t bits = vreinterpretq_u32_f32(a.v);
  const uint32x4_t even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(even, vdupq_n_u32(0x7fff)));
  return vbslq_u32(vceqq_f32(a.v, a.v), rounded, vorrq_u32(bits, vdupq_n_u32(0x400000)));
}
inline void store_bf16(std::uint16_t* p, Vec a) { vst1_u16(p, vshrn_n_u32(round_bf16(a), 16)); }
inline Words pair_bf16(Vec low, Vec high) { return {vsriq_n_u32(round_bf16(high), round_bf16(low), 16)}; }

// out[i][j] = in[j][i] for 4 x 4 words
inline void transpose(const float* in, std::size_t stride, float* out, std::size_t out_stride) {
  const float32x4x2_t top = vtrnq_f32(vld1q_f32(in), vld1q_f32(in + stride));
  const float32x4x2_t bottom = vtrnq_f32(vld1q_f32(in + 2 * stride), vld1q_f32(in + 3 * stride));
  for (std::size_t i = 0; i < 2; ++i) {
    vst1q_f32(out + i * out_stride, vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(bottom.val[i])));
    vst1q_f32(out + (i + 2) * out_stride, vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(bottom.val[i])));
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
