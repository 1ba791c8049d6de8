// int8 products with smmla: two rows by two columns, eight numbers of each, both signed.
#pragma once

#include "cpu/mmla_neon.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 {
  using Layout = RowPairs;
  using Integer = std::int8_t;
  using Word = std::uint32_t;  // four integers
  using Cell = std::uint32_t;
  using Sum = int32x4_t;
  using Two = int8x16_t;
  static constexpr std::size_t kGroup = 4;
  static constexpr std::size_t kMultiple = 4 * kUnit;
  static constexpr std::int32_t kZeroPoint = 0;
  static Sum zero() { return vdupq_n_s32(0); }
  static Two load(const std::uint32_t* p) { return vreinterpretq_s8_u32(vld1q_u32(p)); }
  static Sum multiply(Two rows, Two columns, Sum sum) { return vmmlaq_s32(sum, rows, columns); }
  static float64x2_t bits(Sum sum) { return vreinterpretq_f64_s32(sum); }
  static std::size_t block(std::size_t words) { return words; }
  static void store_integers(Integer* out, Vec a) {
    const int16x4_t half = vqmovn_s32(vcvtnq_s32_f32(a.v));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(half, half));
    vst1_lane_u32(reinterpret_cast<std::uint32_t*>(out), vreinterpret_u32_s8(bytes), 0);
  }
};

template <>
inline void multiply_panel<I8>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                               const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns,
                               std::size_t) {
  multiply_paired<I8>(rows, words, a, lda, panel, c, ldc, columns);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
