// int8 products on AVX-512 without VNNI: both sides widened to int16, because the instruction for bytes (vpmaddubsw)
// saturates its sums of two at 32767 and 2 * 127 * 127 is more.
#pragma once

#include "cpu/vec_avx512.h"
// After the vector type.
#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 {
  using Layout = RowMajor;
  using Integer = std::int16_t;
  using Word = std::uint32_t;  // two integers
  using Cell = std::uint16_t;  // two int8
  struct Sum {
    __m512i v;
  };
  static constexpr std::size_t kGroup = 2;
  static constexpr std::size_t kMultiple = 32;
  static constexpr std::int32_t kZeroPoint = 0;

  static Sum zero() { return {_mm512_setzero_si512()}; }
  static Sum column(const Cell* b) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)))};
  }
  static Sum broadcast(Word a) { return {_mm512_set1_epi32(static_cast<int>(a))}; }
  static Sum dot(Sum a, Sum b, Sum sum) { return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(a.v, b.v))}; }
  static Vec bits(Sum sum) { return {_mm512_castsi512_ps(sum.v)}; }
  static std::size_t block(std::size_t words) { return words; }
  static void store_integers(Integer* out, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
