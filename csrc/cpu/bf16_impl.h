// bfloat16 operands: pairs along k in 32-bit words. The product here is for processors that do not multiply them, or
// slower than float32: rows are rounded but stay float32, weights are widened on their way, which is exact.
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
  // Number i of a piece, and those behind it.
  static void put(std::uint32_t* piece, std::size_t i, Vec v) {
    store_bf16(reinterpret_cast<std::uint16_t*>(piece) + i, v);
  }
};

inline std::size_t bf16_words(std::size_t k) { return round_up(k, kBf16Multiple) / 2; }

// out = x[k] rounded, zeros behind it up to bf16_words(k) words; every piece is `step` from the next.
template <typename Layout, typename Number>
inline void pack_bf16_row(const Number* x, std::size_t k, std::size_t step, std::uint32_t* out) {
  constexpr std::size_t kNumbers = 2 * Layout::kPiece;
  for (std::size_t begin = 0; begin < 2 * bf16_words(k); begin += kNumbers, out += step) {
    for (std::size_t j = 0; j < kNumbers; j += kWidth) {
      const std::size_t i = begin + j;
      Layout::put(out, j, i + kWidth <= k ? load(x + i) : load_first(x + i, i < k ? k - i : 0));
    }
  }
}

// Rows [begin, end) of k numbers, `stride` apart, laid out as the products of T read them.
template <typename T, typename Number>
inline void pack_bf16_rows(const Number* x, std::size_t stride, std::size_t begin, std::size_t end, std::size_t k,
                           std::uint32_t* out) {
  for (std::size_t r = begin; r < end; ++r)
    pack_bf16_row<typename T::Layout>(x + r * stride, k, T::Layout::kStep, out + T::Layout::offset(r, bf16_words(k)));
}

// out[j] = (low[j], high[j]), whole vectors of words; high may be null for zeros
template <typename Number>
inline void pair_bf16_rows(const Number* low, const Number* high, std::size_t n, std::uint32_t* out) {
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    const Vec second = high ? load_first(high + j, lanes) : set(0.0f);
    store_words(out + j, pair_bf16(load_first(low + j, lanes), second));
  });
}

// The first `lanes` of v, numbers of a row from `column` on, to their places.
inline void put_vector(const HeadPlaces& to, std::size_t row, std::size_t column, Vec v, std::size_t lanes) {
  HeadPlaces::Place place = to.at(row, column);
  if (lanes == kWidth && place.left >= kWidth) return store_bf16(place.number, v);
  std::uint16_t numbers[kWidth];
  store_bf16(numbers, v);
  for (std::size_t lane = 0; lane < lanes; ++lane, --place.left) {
    if (place.left == 0) place = to.at(row, column + lane);
    *place.number++ = numbers[lane];
  }
}

// AttentionKernel::put_heads
inline void put_heads(Strided<const float> x, std::size_t rows, std::size_t width, const HeadPlaces& to) {
  HeadPlaces head = to;
  for (std::size_t column = 0; column < width; column += to.size, head.data += to.next_head)
    for (std::size_t row = 0; row < rows; ++row)
      for_each_vector(to.size, [&](std::size_t j, std::size_t lanes) {
        put_vector(head, row, j, load_first(x.row(row) + column + j, lanes), lanes);
      });
}

// Rows of float32 that are bfloat16 numbers, a line between them.
struct WidenedRowMajor {
  static constexpr std::size_t kPiece = kLine;
  static constexpr std::size_t kStep = 2 * kLine;
  static std::size_t size(std::size_t rows, std::size_t words) { return rows * 2 * stride(words); }
  static std::size_t stride(std::size_t words) { return words + kLine / 2; }  // in pairs
  static std::size_t offset(std::size_t row, std::size_t words) { return row * 2 * stride(words); }
  static void put(std::uint32_t* piece, std::size_t i, Vec v) {
    store(reinterpret_cast<float*>(piece) + i, odd_bf16(Words{round_bf16(v)}));
  }
};

struct WidenedBf16 {
  using Layout = WidenedRowMajor;
  struct Word {
    float even, odd;
  };
  using Cell = std::uint32_t;
  static constexpr std::size_t kParts = 2;  // one after the other, or their columns would not fit 16 registers
  static Vec column(const Cell* b, std::size_t part) {
    return part == 0 ? even_bf16(load_words(b)) : odd_bf16(load_words(b));
  }
  static Vec broadcast(const Word& a, std::size_t part) { return set(part == 0 ? a.even : a.odd); }
  static Vec dot(Vec a, Vec b, Vec sum) { return accumulate(a, b, sum); }
  static std::size_t block(std::size_t words) { return k_block(2 * words) / 2; }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
