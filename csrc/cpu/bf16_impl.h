// bfloat16 operands: pairs along k in 32-bit words. This product is for processors that do not multiply them: they are
// widened to float32, which is exact, and summed there.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kBf16Multiple = 32;  // 64 bytes: as much as the widest instruction takes at once

inline std::size_t bf16_words(std::size_t k) { return round_up(k, kBf16Multiple) / 2; }

// out[bf16_words(k)] = x[k] rounded, zeros behind it
inline void pack_bf16_row(const float* x, std::size_t k, std::uint32_t* out) {
  auto* numbers = reinterpret_cast<std::uint16_t*>(out);
  const std::size_t padded = 2 * bf16_words(k);
  std::size_t i = 0;
  for (; i + kWidth <= k; i += kWidth) store_bf16(numbers + i, load(x + i));
  for (; i < padded; i += kWidth) store_bf16(numbers + i, load_first(x + i, i < k ? k - i : 0));
}

// out[j] = (low[j], high[j]), whole vectors of words; high may be null for zeros
inline void pair_bf16_rows(const float* low, const float* high, std::size_t n, std::uint32_t* out) {
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    const Vec second = high ? load_first(high + j, lanes) : set(0.0f);
    store_words(out + j, pair_bf16(load_first(low + j, lanes), second));
  });
}

struct WidenedBf16 {
  struct Pair {
    Vec even, odd;
  };
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  using Sum = Vec;
  static Pair widen(Words words) { return {even_bf16(words), odd_bf16(words)}; }
  static Sum zero() { return set(0.0f); }
  static Pair column(const Cell* b) { return widen(load_words(b)); }
  static Pair broadcast(Word a) { return widen(set_words(a)); }
  static Sum dot(Pair a, Pair b, Sum sum) { return fma(a.odd, b.odd, fma(a.even, b.even, sum)); }
  static Vec bits(Sum sum) { return sum; }
  static std::size_t block(std::size_t words) { return words; }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
