// AVX-512 on a processor with AVX2, in the place of the intrinsics: SIMDe's, and here those that it lacks.
#pragma once

#include <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace filbert::testing {
namespace {

template <typename To, typename From>
To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// A vector of lanes, and what becomes of each.
template <typename Lane, std::size_t N>
struct Lanes {
  Lane at[N];
};
template <typename To, typename From, std::size_t N, typename Body>
Lanes<To, N> each(const Lanes<From, N>& from, const Body& body) {
  Lanes<To, N> to;
  for (std::size_t i = 0; i < N; ++i) to.at[i] = body(from.at[i]);
  return to;
}
using Floats = Lanes<float, 16>;
using Integers = Lanes<std::int32_t, 16>;

template <typename Lane, std::size_t N>
Lanes<Lane, N> load_where(std::uint32_t mask, const void* from) {
  Lanes<Lane, N> to = {};
  for (std::size_t i = 0; i < N; ++i)
    if (mask >> i & 1) std::memcpy(&to.at[i], static_cast<const char*>(from) + i * sizeof(Lane), sizeof(Lane));
  return to;
}
inline __m512 load_floats(__mmask16 mask, const void* from) {
  return same_bits<__m512>(load_where<float, 16>(mask, from));
}
inline __m512i load_integers(__mmask16 mask, const void* from) {
  return same_bits<__m512i>(load_where<std::int32_t, 16>(mask, from));
}
inline __m256i load_halves(__mmask16 mask, const void* from) {
  return same_bits<__m256i>(load_where<std::uint16_t, 16>(mask, from));
}
inline void store_floats(void* to, __mmask16 mask, __m512 a) {
  const auto lanes = same_bits<Floats>(a);
  for (std::size_t i = 0; i < 16; ++i)
    if (mask >> i & 1) std::memcpy(static_cast<char*>(to) + i * sizeof(float), &lanes.at[i], sizeof(float));
}

// To nearest even; what does not fit becomes the smallest integer.
inline std::int32_t integer_of(float a) {
  return a >= -0x1p31f && a < 0x1p31f ? static_cast<std::int32_t>(std::nearbyint(a))
                                      : std::numeric_limits<std::int32_t>::min();
}
inline __m512i integers_of(__m512 a) {
  return same_bits<__m512i>(each<std::int32_t>(same_bits<Floats>(a), integer_of));
}
inline __m512 floats_of(__m512i a) {
  return same_bits<__m512>(
      each<float>(same_bits<Integers>(a), [](std::int32_t lane) { return static_cast<float>(lane); }));
}
inline __m512i widen(__m256i a) {
  return same_bits<__m512i>(each<std::uint32_t>(same_bits<Lanes<std::uint16_t, 16>>(a),
                                                [](std::uint16_t lane) { return std::uint32_t{lane}; }));
}
inline __m256i low_halves(__m512i a) {
  return same_bits<__m256i>(
      each<std::uint16_t>(same_bits<Integers>(a), [](std::int32_t lane) { return static_cast<std::uint16_t>(lane); }));
}
inline __m128i low_bytes(__m512i a) {
  return same_bits<__m128i>(
      each<std::uint8_t>(same_bits<Integers>(a), [](std::int32_t lane) { return static_cast<std::uint8_t>(lane); }));
}

// In fours, those of all lanes alike.
template <unsigned Order>
__m512 permute(__m512 a) {
  const auto from = same_bits<Floats>(a);
  Floats to;
  for (std::size_t i = 0; i < 16; ++i) to.at[i] = from.at[i / 4 * 4 + (Order >> i % 4 * 2 & 3)];
  return same_bits<__m512>(to);
}

// GCC's order: the halves of what is left, until one is.
template <typename Lane, typename Body>
Lane reduce(Lanes<Lane, 16> lanes, const Body& body) {
  for (std::size_t n = 8; n > 0; n /= 2)
    for (std::size_t i = 0; i < n; ++i) lanes.at[i] = body(lanes.at[i + n], lanes.at[i]);
  return lanes.at[0];
}
inline float sum_of(__m512 a) {
  return reduce(same_bits<Floats>(a), [](float x, float y) { return x + y; });
}
inline float largest_of(__m512 a) {
  return reduce(same_bits<Floats>(a), [](float x, float y) { return x > y ? x : y; });
}
inline std::int32_t largest_of(__m512i a) {
  return reduce(same_bits<Integers>(a), [](std::int32_t x, std::int32_t y) { return std::max(x, y); });
}

// To nearest even, subnormal numbers to zero, NaN stays one.
inline std::uint16_t bf16_of(float a) {
  const auto bits = same_bits<std::uint32_t>(a);
  if (std::isnan(a)) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  if (std::fpclassify(a) == FP_SUBNORMAL) return static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline __m256i bf16s_of(__m512 a) { return same_bits<__m256i>(each<std::uint16_t>(same_bits<Floats>(a), bf16_of)); }

}  // namespace
}  // namespace filbert::testing

#define _mm512_maskz_loadu_ps(mask, from) filbert::testing::load_floats(mask, from)
#define _mm512_maskz_loadu_epi32(mask, from) filbert::testing::load_integers(mask, from)
#define _mm256_maskz_loadu_epi16(mask, from) filbert::testing::load_halves(mask, from)
#define _mm512_mask_storeu_ps(to, mask, a) filbert::testing::store_floats(to, mask, a)
#define _mm512_cvtps_epi32(a) filbert::testing::integers_of(a)
#define _mm512_cvtepi32_ps(a) filbert::testing::floats_of(a)
#define _mm512_cvtepu16_epi32(a) filbert::testing::widen(a)
#define _mm512_cvtepi32_epi16(a) filbert::testing::low_halves(a)
#define _mm512_cvtepi32_epi8(a) filbert::testing::low_bytes(a)
#define _mm512_permute_ps(a, order) filbert::testing::permute<order>(a)
#define _mm512_reduce_add_ps(a) filbert::testing::sum_of(a)
#define _mm512_reduce_max_ps(a) filbert::testing::largest_of(a)
#define _mm512_reduce_max_epi32(a) filbert::testing::largest_of(a)
#define _mm512_cvtneps_pbh(a) filbert::testing::bf16s_of(a)
#define _mm256_cmpeq_epi8_mask(a, b) static_cast<__mmask32>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)))

// There, but under no such name, or under a wrong one.
#define _mm512_shuffle_f32x4(a, b, order) simde_mm512_shuffle_f32x4(a, b, order)
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

// What the kernels are to find.
#if defined(WITH_VNNI)
#define __AVX512VNNI__
#elif defined(WITH_BF16)
#define __AVX512BF16__
#endif
