// int8 products on NEON.
#pragma once

#include "cpu/vec_neon.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 : WidenedI8 {
  struct Pairs {
    int16x8_t v;
  };
  static Pairs column(const Cell* b, std::size_t) { return {vmovl_s8(vreinterpret_s8_u16(vld1_u16(b)))}; }
  static Pairs broadcast(Word a, std::size_t) { return {vreinterpretq_s16_u32(vdupq_n_u32(a))}; }
  static Vec dot(Pairs a, Pairs b, Vec sum) {
    const int32x4_t low = vmull_s16(vget_low_s16(a.v), vget_low_s16(b.v));
    const int32x4_t products = vpaddq_s32(low, vmull_high_s16(a.v, b.v));
    return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(sum.v), products))};
  }
  static void store_integers(Integer* out, Vec a) { vst1_s16(out, vqmovn_s32(vcvtnq_s32_f32(a.v))); }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
