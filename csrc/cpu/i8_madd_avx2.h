// int8 products on plain AVX2.
#pragma once

#include "cpu/vec_avx2.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 : WidenedI8 {
  static Words column(const Cell* b, std::size_t) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)))};
  }
  static Words broadcast(Word a, std::size_t) { return {_mm256_set1_epi32(static_cast<int>(a))}; }
  static Vec dot(Words a, Words b, Vec sum) {
    const __m256i products = _mm256_madd_epi16(a.v, b.v);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum.v), products))};
  }
  static void store_integers(Integer* out, Vec a) {
    const __m256i wide = _mm256_cvtps_epi32(a.v);
    const __m128i low = _mm256_castsi256_si128(wide);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_packs_epi32(low, _mm256_extracti128_si256(wide, 1)));
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
