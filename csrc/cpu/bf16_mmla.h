// bfloat16 products with bfmmla: two rows by two columns, four numbers of each. It adds them in pairs, each sum rounded
// to odd: off by up to a unit in the last place instead of half of one, but half as many sums as numbers.
#pragma once

#include "cpu/mmla_neon.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Bf16 {
  using Layout = RowPairs;
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  using Sum = float32x4_t;
  using Two = bfloat16x8_t;
  static Sum zero() { return vdupq_n_f32(0.0f); }
  static Two load(const std::uint32_t* p) { return vreinterpretq_bf16_u32(vld1q_u32(p)); }
  static Sum multiply(Two rows, Two columns, Sum sum) { return vbfmmlaq_f32(sum, rows, columns); }
  static float64x2_t bits(Sum sum) { return vreinterpretq_f64_f32(sum); }
  static std::size_t block(std::size_t words) { return words; }
};

template <>
inline void multiply_panel<Bf16>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                                 const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns,
                                 std::size_t) {
  multiply_paired<Bf16>(rows, words, a, lda, panel, c, ldc, columns);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
