// bfloat16 operands: pairs along k in 32-bit words. This product is for processors that do not multiply them: they are
// widened to float32, which is exact, and summed there.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kLine = 16;                 // words of 64 bytes
inline constexpr std::size_t kBf16Multiple = 2 * kLine;  // as much as the widest instruction takes at once

// Where a row lies in an operand: row-major, with a line between rows so that they do not alias.
struct RowMajor {
  static constexpr std::size_t kPiece = kLine;  // words of a row that lie together,
  static constexpr std::size_t kStep = kLine;   // and how far the next ones are
  static std::size_t size(std::size_t rows, std::size_t words) { return rows * stride(words); }
  static std::size_t stride(std::size_t words) { return words + kLine; }
  static std::size_t offset(std::size_t row, std::size_t words) { return row * stride(words); }
};

inline std::size_t bf16_words(std::size_t k) { return round_up(k, kBf16Multiple) / 2; }

// out = x[k] rounded, zeros behind it up to bf16_words(k) words; every `Piece` words are `step` from the next.
template <std::size_t Piece = kLine>
inline void pack_bf16_row(const float* x, std::size_t k, std::size_t step, std::uint32_t* out) {
  constexpr std::size_t kNumbers = 2 * Piece;
  for (std::size_t begin = 0; begin < 2 * bf16_words(k); begin += kNumbers, out += step) {
    auto* numbers = reinterpret_cast<std::uint16_t*>(out);
    for (std::size_t j = 0; j < kNumbers; j += kWidth) {
      const std::size_t i = begin + j;
      store_bf16(numbers + j, i + kWidth <= k ? load(x + i) : load_first(x + i, i < k ? k - i : 0));
    }
  }
}

// Rows [begin, end) of k numbers, `stride` apart, laid out as the products of T read them.
template <typename T>
inline void pack_bf16_rows(const float* x, std::size_t stride, std::size_t begin, std::size_t end, std::size_t k,
                           std::uint32_t* out) {
  for (std::size_t r = begin; r < end; ++r)
    pack_bf16_row<T::Layout::kPiece>(x + r * stride, k, T::Layout::kStep, out + T::Layout::offset(r, bf16_words(k)));
}

// out[j] = (low[j], high[j]), whole vectors of words; high may be null for zeros
inline void pair_bf16_rows(const float* low, const float* high, std::size_t n, std::uint32_t* out) {
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    const Vec second = high ? load_first(high + j, lanes) : set(0.0f);
    store_words(out + j, pair_bf16(load_first(low + j, lanes), second));
  });
}

struct WidenedBf16 {
  using Layout = RowMajor;
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
