// bfloat16 products with AVX512-BF16: two into a float32 sum.
#pragma once

#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Bf16 {
  using Layout = RowMajor;
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  using Sum = Vec;
  struct Pairs {
    __m512bh v;
  };
  static Sum zero() { return set(0.0f); }
  static Pairs column(const Cell* b) { return {(__m512bh)_mm512_loadu_si512(b)}; }
  static Pairs broadcast(Word a) { return {(__m512bh)_mm512_set1_epi32(static_cast<int>(a))}; }
  static Sum dot(Pairs a, Pairs b, Sum sum) { return {_mm512_dpbf16_ps(sum.v, a.v, b.v)}; }
  static Vec bits(Sum sum) { return sum; }
  static std::size_t block(std::size_t words) { return words; }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
