// int8 products on AVX-512 without VNNI.
#pragma once

#include "cpu/vec_avx512.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 : WidenedI8 {
  static Words column(const Cell* b, std::size_t) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)))};
  }
  static Words broadcast(Word a, std::size_t) { return {_mm512_set1_epi32(static_cast<int>(a))}; }
  static Vec dot(Words a, Words b, Vec sum) {
    const __m512i products = _mm512_madd_epi16(a.v, b.v);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sum.v), products))};
  }
  static void store_integers(Integer* out, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
