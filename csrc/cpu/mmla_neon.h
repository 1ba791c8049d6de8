// c = a b with instructions that multiply two rows by two columns: 8 bytes along k of each, to 2 x 2 sums. Rows lie in
// pairs, their bytes taking turns; in a panel two columns lie beside each other by themselves, in groups of 8 bytes.
// 12 rows by 8 columns of sums stay in 24 registers, fed by 6 loads of rows and 4 of columns for 24 products. 4 rows
// or fewer take all 16 columns of a panel at once, which then comes front to back. Every sum runs over k in order.
#pragma once

#include "cpu/vec_neon.h"
// After the vector type.
#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kUnit = 2;  // words that a product takes of a row
inline constexpr std::size_t kPairedRows = 12;
inline constexpr std::size_t kFewRows = 4;

// `stride` is that of pairs, with a line between them so that they do not alias.
struct RowPairs {
  static constexpr std::size_t kPiece = kUnit;
  static constexpr std::size_t kStep = 2 * kUnit;
  static std::size_t size(std::size_t rows, std::size_t words) { return round_up(rows, 2) / 2 * stride(words); }
  static std::size_t stride(std::size_t words) { return 2 * words + kLine; }
  static std::size_t offset(std::size_t row, std::size_t words) { return row / 2 * stride(words) + row % 2 * kUnit; }
  static void put(std::uint32_t* piece, std::size_t i, Vec v) { RowMajor::put(piece, i, v); }
};

// Rows as they are, of weights in groups of twice as many numbers.
template <typename Rows>
struct PairedRows : Rows {
  using Rows::Rows;
  static constexpr MatrixFormat kFormat = {Rows::kFormat.panel_width, Rows::kFormat.vector_width,
                                           Rows::kFormat.k_multiple, 2 * Rows::kFormat.group, Rows::kFormat.zero_point};
};

// c[rows, columns] of 2 Pairs rows and 2 Columns columns. b: these columns of a panel that is `width` wide.
template <typename T, std::size_t Pairs, std::size_t Columns>
inline void paired_tile(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                        const std::uint32_t* b, std::size_t width, float* c, std::size_t ldc, std::size_t columns,
                        Prefetcher& after) {
  Prefetcher next = after;  // in registers
  typename T::Sum sum[Pairs][Columns];
  FILBERT_UNROLL
  for (std::size_t p = 0; p < Pairs; ++p) FILBERT_UNROLL
  for (std::size_t j = 0; j < Columns; ++j) sum[p][j] = T::zero();
  for (std::size_t i = 0; i < words; i += kUnit, a += RowPairs::kStep, b += kUnit * width) {
    next.step();
    typename T::Two column[Columns];
    FILBERT_UNROLL
    for (std::size_t j = 0; j < Columns; ++j) column[j] = T::load(b + 2 * kUnit * j);
    FILBERT_UNROLL
    for (std::size_t p = 0; p < Pairs; ++p) {
      const typename T::Two row = T::load(a + p * lda);
      FILBERT_UNROLL
      for (std::size_t j = 0; j < Columns; ++j) sum[p][j] = T::multiply(row, column[j], sum[p][j]);
    }
  }
  after = next;
  FILBERT_UNROLL
  for (std::size_t p = 0; p < Pairs; ++p) FILBERT_UNROLL
  for (std::size_t j = 0; j < Columns; j += 2) {
    const float64x2_t left = T::bits(sum[p][j]), right = T::bits(sum[p][j + 1]);
    const std::size_t lanes = j + 2 < Columns ? kWidth : columns - 2 * j;
    float* const out = c + 2 * p * ldc + 2 * j;
    store_first(out, {vreinterpretq_f32_f64(vzip1q_f64(left, right))}, lanes);
    if (2 * p + 1 < rows) store_first(out + ldc, {vreinterpretq_f32_f64(vzip2q_f64(left, right))}, lanes);
  }
}

// paired_tile<pairs of rows, Columns>, for up to Most pairs
template <typename T, std::size_t Most, std::size_t Columns>
inline void paired_tile_of(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                           const std::uint32_t* b, std::size_t width, float* c, std::size_t ldc, std::size_t columns,
                           Prefetcher& next) {
  if constexpr (Most > 1)
    if (rows <= 2 * (Most - 1))
      return paired_tile_of<T, Most - 1, Columns>(rows, words, a, lda, b, width, c, ldc, columns, next);
  paired_tile<T, Most, Columns>(rows, words, a, lda, b, width, c, ldc, columns, next);
}

// c[rows, columns of the panel] = a[rows, words] b[words, panel]. What follows the panel is needed next.
template <typename T>
inline void multiply_paired(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                            const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns) {
  constexpr std::size_t kHalf = kPanelWidth / 2;
  const std::size_t width = round_up(columns, kWidth);
  const bool whole = rows <= kFewRows && width == kPanelWidth;
  const std::size_t passes = whole || width <= kHalf ? 1 : 2;
  std::size_t tiles = (rows + kPairedRows - 1) / kPairedRows;
  Prefetcher next(panel + words * width, words * width * sizeof(*panel), tiles * passes * words / kUnit);
  for (; tiles > 0; --tiles) {
    const std::size_t height = round_up((rows + tiles - 1) / tiles, 2);
    const std::size_t here = height < rows ? height : rows;
    if (whole) {
      paired_tile_of<T, kFewRows / 2, kPanelWidth / 2>(here, words, a, lda, panel, width, c, ldc, columns, next);
    } else {
      for (std::size_t j = 0; j < width; j += kHalf) {
        const std::uint32_t* const b = panel + kUnit * j;
        const std::size_t left = columns - j < kHalf ? columns - j : kHalf;
        if (left > kWidth)
          paired_tile_of<T, kPairedRows / 2, kHalf / 2>(here, words, a, lda, b, width, c + j, ldc, left, next);
        else
          paired_tile_of<T, kPairedRows / 2, kWidth / 2>(here, words, a, lda, b, width, c + j, ldc, left, next);
      }
    }
    a += height / 2 * lda;
    c += height * ldc;
    rows -= here;
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
