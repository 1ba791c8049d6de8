// c = a b with b packed in panels (kernels.h). Tiles of up to 6 rows by one panel keep their sums in registers; a tile
// is six rows of `a` (broadcast one float at a time) against a panel that streams from L2. Every sum runs over k in
// order, in blocks of k_block(k), so a result does not depend on the tile it was computed in.
#pragma once

#include "cpu/kernels.h"

// Sums stay in registers only if the loops over them are gone before register allocation.
#define FILBERT_UNROLL _Pragma("GCC unroll 8")

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kTileRows = 6;
inline constexpr std::size_t kPanelWidth = kVectorsPerPanel * kWidth;

template <std::size_t Rows, std::size_t Vectors>
inline void tile(std::size_t k, const float* a, std::size_t lda, const float* b, bool accumulate, float* c,
                 std::size_t ldc, std::size_t columns) {
  Vec sum[Rows][Vectors];
  FILBERT_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) FILBERT_UNROLL
  for (std::size_t j = 0; j < Vectors; ++j) sum[r][j] = set(0.0f);
  for (std::size_t i = 0; i < k; ++i, b += Vectors * kWidth) {
    Vec column[Vectors];
    FILBERT_UNROLL
    for (std::size_t j = 0; j < Vectors; ++j) column[j] = load(b + j * kWidth);
    FILBERT_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
      const Vec x = set(a[r * lda + i]);
      FILBERT_UNROLL
      for (std::size_t j = 0; j < Vectors; ++j) sum[r][j] = fma(x, column[j], sum[r][j]);
    }
  }
  const std::size_t last = columns - (Vectors - 1) * kWidth;
  FILBERT_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) {
    float* row = c + r * ldc;
    FILBERT_UNROLL
    for (std::size_t j = 0; j + 1 < Vectors; ++j)
      store(row + j * kWidth, accumulate ? load(row + j * kWidth) + sum[r][j] : sum[r][j]);
    float* end = row + (Vectors - 1) * kWidth;
    const Vec total = accumulate ? load_first(end, last) + sum[r][Vectors - 1] : sum[r][Vectors - 1];
    store_first(end, total, last);
  }
}

template <std::size_t Vectors>
inline void tile_rows(std::size_t rows, std::size_t k, const float* a, std::size_t lda, const float* b, bool accumulate,
                      float* c, std::size_t ldc, std::size_t columns) {
  std::size_t tiles = (rows + kTileRows - 1) / kTileRows;
  while (rows > 0) {
    const std::size_t height = (rows + tiles - 1) / tiles;  // 8 rows: 4 and 4, not 6 and 2
    switch (height) {
      case 1:
        tile<1, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
      case 2:
        tile<2, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
      case 3:
        tile<3, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
      case 4:
        tile<4, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
      case 5:
        tile<5, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
      default:
        tile<6, Vectors>(k, a, lda, b, accumulate, c, ldc, columns);
        break;
    }
    a += height * lda;
    c += height * ldc;
    rows -= height;
    --tiles;
  }
}

// tile_rows<vectors>, for vectors in 1..Most
template <std::size_t Most>
inline void tile_vectors(std::size_t vectors, std::size_t rows, std::size_t k, const float* a, std::size_t lda,
                         const float* b, bool accumulate, float* c, std::size_t ldc, std::size_t columns) {
  if constexpr (Most > 1)
    if (vectors < Most) return tile_vectors<Most - 1>(vectors, rows, k, a, lda, b, accumulate, c, ldc, columns);
  tile_rows<Most>(rows, k, a, lda, b, accumulate, c, ldc, columns);
}

// c[rows, columns of the panel] = a[rows, k] b[k, panel].
inline void multiply_panel(std::size_t rows, std::size_t k, const float* a, std::size_t lda, const float* panel,
                           float* c, std::size_t ldc, std::size_t columns) {
  const std::size_t vectors = (columns + kWidth - 1) / kWidth;
  const std::size_t block = k_block(k);
  for (std::size_t begin = 0; begin < k; begin += block) {
    const std::size_t length = begin + block < k ? block : k - begin;
    const float* b = panel + begin * vectors * kWidth;
    const bool accumulate = begin > 0;
    tile_vectors<kVectorsPerPanel>(vectors, rows, length, a + begin, lda, b, accumulate, c, ldc, columns);
  }
}

inline std::size_t panel_columns(std::size_t n, std::size_t panel) {
  const std::size_t left = n - panel * kPanelWidth;
  return left < kPanelWidth ? left : kPanelWidth;
}

// c[rows, n] = a[rows, k] b[k, n].
inline void multiply(std::size_t rows, std::size_t k, const float* a, std::size_t lda, const float* panels,
                     std::size_t n, float* c, std::size_t ldc) {
  for (std::size_t panel = 0; panel * kPanelWidth < n; ++panel) {
    const std::size_t column = panel * kPanelWidth;
    multiply_panel(rows, k, a, lda, panels + column * k, c + column, ldc, panel_columns(n, panel));
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
