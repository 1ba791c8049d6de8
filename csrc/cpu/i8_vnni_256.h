// int8 products with AVX-VNNI.
#pragma once

#include "cpu/vec_avx2.h"
// After the vector type.
#include "cpu/i8_operand.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct I8 : ByteI8 {
  static Words column(const Cell* b, std::size_t) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b))}; }
  static Words broadcast(Word a, std::size_t) { return {_mm256_set1_epi32(static_cast<int>(a))}; }
  static Vec dot(Words a, Words b, Vec sum) {
    return {_mm256_castsi256_ps(_mm256_dpbusd_avx_epi32(_mm256_castps_si256(sum.v), a.v, b.v))};
  }
  static void store_integers(Integer* out, Vec a) {
    const __m256i wide = _mm256_cvtps_epi32(a.v);
    const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    const __m128i bytes = _mm_xor_si128(_mm_packs_epi16(half, half), _mm_set1_epi8(static_cast<char>(0x80)));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), bytes);
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
