// int8 products on AVX-512 without VNNI.
#pragma once

#include "cpu/vec_avx512.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 : WidenedI8 {
  struct Sum {
    __m512i v;
  };
  static Sum zero() { return {_mm512_setzero_si512()}; }
  static Sum column(const Cell* b) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)))};
  }
  static Sum broadcast(Word a) { return {_mm512_set1_epi32(static_cast<int>(a))}; }
  static Sum dot(Sum a, Sum b, Sum sum) { return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(a.v, b.v))}; }
  static Vec bits(Sum sum) { return {_mm512_castsi512_ps(sum.v)}; }
  static void store_integers(Integer* out, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
