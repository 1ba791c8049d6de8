// bfloat16 products with AVX512-BF16: two into a float32 sum.
#pragma once

#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Bf16 {
  using Layout = RowMajor;
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  struct Pairs {
    __m512bh v;
  };
  static Pairs column(const Cell* b, std::size_t) { return {(__m512bh)_mm512_loadu_si512(b)}; }
  static Pairs broadcast(Word a, std::size_t) { return {(__m512bh)_mm512_set1_epi32(static_cast<int>(a))}; }
  static Vec dot(Pairs a, Pairs b, Vec sum) { return {_mm512_dpbf16_ps(sum.v, a.v, b.v)}; }
  static constexpr std::size_t kParts = 1;
  static std::size_t block(std::size_t words) { return words; }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
