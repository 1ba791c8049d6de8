// int8 operands of AVX512-VNNI and AMX.
#pragma once

#include "cpu/vec_avx512.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8Operand : ByteI8 {
  static void store_integers(Integer* out, Vec a) {
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))));
  }
};

#if defined(__AVX512VNNI__)
struct I8 : I8Operand {
  struct Sum {
    __m512i v;
  };
  static Sum zero() { return {_mm512_setzero_si512()}; }
  static Sum column(const Cell* b) { return {_mm512_loadu_si512(b)}; }
  static Sum broadcast(Word a) { return {_mm512_set1_epi32(static_cast<int>(a))}; }
  static Sum dot(Sum a, Sum b, Sum sum) { return {_mm512_dpbusd_epi32(sum.v, a.v, b.v)}; }
  static Vec bits(Sum sum) { return {_mm512_castsi512_ps(sum.v)}; }
};
#endif

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
