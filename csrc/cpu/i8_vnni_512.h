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
  static Words column(const Cell* b, std::size_t) { return {_mm512_loadu_si512(b)}; }
  static Words broadcast(Word a, std::size_t) { return {_mm512_set1_epi32(static_cast<int>(a))}; }
  static Vec dot(Words a, Words b, Vec sum) {
    return {_mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum.v), a.v, b.v))};
  }
};
#endif

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
