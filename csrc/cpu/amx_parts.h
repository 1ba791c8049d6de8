// float32 as bfloat16: a number is cut into three parts of 8 bits of precision each, by truncation, so that their sum
// is the number. What float32 precision needs of the nine products of two numbers' parts are six (arXiv:1904.06376).
#pragma once

#include "cpu/amx_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kParts = 3;

// The first part is in the upper half of a float's bits; what is left of the number without it is exact.
inline Vec without_part(Vec a) { return a - odd_bf16({_mm512_castps_si512(a.v)}); }

inline __m512i bits_of(Vec a) { return _mm512_castps_si512(a.v); }
inline __m512i magnitude(Vec a) { return bits_of(abs(a)); }
inline __m512i bits_of_all(float a) { return bits_of(set(a)); }

// Parts of pairs of numbers as words, `stride` words apart.
inline void store_pair_parts(Vec low, Vec high, std::uint32_t* out, std::size_t stride) {
  FILBERT_UNROLL
  for (std::size_t part = 0; part < kParts; ++part, out += stride) {
    store_words(out, {_mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(bits_of(low), 16), bits_of(high))});
    if (part + 1 == kParts) break;
    low = without_part(low);
    high = without_part(high);
  }
}

// Of infinities, NaN and numbers whose third part is too small for any bfloat16, the sum of the parts would be another
// number. Their second and third part are the lower 16 bits instead, in subnormal numbers, which tiles take as zeros.
inline __mmask16 has_no_parts(__m512i magnitudes) {
  const __m512i least = bits_of_all(0x1p-110f);
  const __m512i range = _mm512_sub_epi32(bits_of_all(__builtin_inff()), least);
  return _mm512_cmpge_epu32_mask(_mm512_sub_epi32(magnitudes, least), range);
}

// What is known of some numbers of a row, in one byte. Marks of all of its numbers say, when put together by or,
// whether the row can be multiplied in parts (kernels.h).
enum Mark : std::uint8_t { kNotZero = 1, kLarge = 2, kTooLarge = 4 };

inline void store_part(std::uint16_t* out, __m512i words) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(words));
}
inline __m512i load_part(const std::uint16_t* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// Parts of numbers, `stride` halves apart; returns the numbers' marks.
inline std::uint8_t store_parts(Vec a, std::uint16_t* out, std::size_t stride) {
  const __m512i magnitudes = magnitude(a);
  const Vec rest = without_part(a);
  __m512i second = _mm512_srli_epi32(bits_of(rest), 16);
  __m512i third = _mm512_srli_epi32(bits_of(without_part(rest)), 16);
  if (const __mmask16 whole = has_no_parts(magnitudes)) {
    const auto subnormal = [](__m512i byte) {
      const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(byte, _mm512_set1_epi32(0x80)), 8);
      return _mm512_or_si512(sign, _mm512_and_si512(byte, _mm512_set1_epi32(0x7f)));
    };
    second = _mm512_mask_mov_epi32(second, whole, subnormal(_mm512_srli_epi32(bits_of(a), 8)));
    third = _mm512_mask_mov_epi32(third, whole, subnormal(bits_of(a)));
  }
  store_part(out, _mm512_srli_epi32(bits_of(a), 16));
  store_part(out + stride, second);
  store_part(out + 2 * stride, third);
  const bool not_zero = _mm512_test_epi32_mask(magnitudes, magnitudes);
  const bool large = _mm512_cmpge_epi32_mask(magnitudes, bits_of_all(kLeastTop));
  const bool too_large = _mm512_cmpgt_epi32_mask(magnitudes, bits_of_all(kMostTop));
  return static_cast<std::uint8_t>(not_zero * kNotZero + large * kLarge + too_large * kTooLarge);
}

// The numbers that were stored.
inline Vec join_parts(const std::uint16_t* from, std::size_t stride) {
  const __m512i first = _mm512_slli_epi32(load_part(from), 16);
  const __m512i second = load_part(from + stride);
  const __m512i third = load_part(from + 2 * stride);
  const auto byte = [](__m512i subnormal) {
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(subnormal, 8), _mm512_set1_epi32(0x80));
    return _mm512_or_si512(sign, _mm512_and_si512(subnormal, _mm512_set1_epi32(0x7f)));
  };
  const __m512i whole = _mm512_or_si512(first, _mm512_or_si512(_mm512_slli_epi32(byte(second), 8), byte(third)));
  const Vec sum = Vec{_mm512_castsi512_ps(first)} + even_bf16({second}) + even_bf16({third});
  const Vec top = {_mm512_castsi512_ps(first)};
  return {_mm512_mask_mov_ps(sum.v, has_no_parts(magnitude(top)), _mm512_castsi512_ps(whole))};
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
