// Products of bfloat16 and int8 on AMX tiles: 32 rows by 32 columns of sums in four tiles, fed by two tiles of rows and
// two of columns. A tile of rows is 16 rows of 16 words as they lie; a tile of columns is 16 words by 16 columns of a
// panel. Rows are read in sixteens: behind the last one there must be memory, whatever it holds.
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_vnni_512.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct Bf16 {
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  static constexpr bool kIntegers = false;
};
struct I8 : I8Operand {
  static constexpr bool kIntegers = true;
};

inline constexpr std::size_t kSide = 16;  // rows of a tile, and 32-bit words of its rows

// The calling thread's tiles, all 16 x 64 bytes, for as long as this lives.
class TileScope {
 public:
  TileScope() {
    static constexpr struct alignas(64) {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } kConfig;
    _tile_loadconfig(&kConfig);
  }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// Sums 0 to 3: rows a and a + 16 by columns b and b + 16.
template <typename T, bool TwoRows, bool TwoColumns>
inline void sum_tiles(std::size_t words, const std::uint32_t* a, std::size_t lda, const std::uint32_t* b,
                      std::size_t width) {
  _tile_zero(0);
  if constexpr (TwoColumns) _tile_zero(1);
  if constexpr (TwoRows) _tile_zero(2);
  if constexpr (TwoRows && TwoColumns) _tile_zero(3);
  for (std::size_t i = 0; i < words; i += kSide) {
    _tile_loadd(4, a + i, lda * sizeof(*a));
    _tile_loadd(6, b + i * width, width * sizeof(*b));
    if constexpr (TwoColumns) _tile_loadd(7, b + i * width + kSide, width * sizeof(*b));
    if constexpr (TwoRows) _tile_loadd(5, a + kSide * lda + i, lda * sizeof(*a));
    if constexpr (!T::kIntegers) {
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (TwoColumns) _tile_dpbf16ps(1, 4, 7);
      if constexpr (TwoRows) _tile_dpbf16ps(2, 5, 6);
      if constexpr (TwoRows && TwoColumns) _tile_dpbf16ps(3, 5, 7);
    } else {
      _tile_dpbusd(0, 4, 6);
      if constexpr (TwoColumns) _tile_dpbusd(1, 4, 7);
      if constexpr (TwoRows) _tile_dpbusd(2, 5, 6);
      if constexpr (TwoRows && TwoColumns) _tile_dpbusd(3, 5, 7);
    }
  }
}

template <bool TwoRows, bool TwoColumns>
inline void store_tiles(float* c, std::size_t ldc) {
  const std::size_t stride = ldc * sizeof(*c);
  _tile_stored(0, c, stride);
  if constexpr (TwoColumns) _tile_stored(1, c + kSide, stride);
  if constexpr (TwoRows) _tile_stored(2, c + kSide * ldc, stride);
  if constexpr (TwoRows && TwoColumns) _tile_stored(3, c + kSide * ldc + kSide, stride);
}

// Up to 32 rows and columns.
template <typename T, bool TwoRows, bool TwoColumns>
inline void multiply_block(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                           const std::uint32_t* b, std::size_t width, float* c, std::size_t ldc, std::size_t columns) {
  sum_tiles<T, TwoRows, TwoColumns>(words, a, lda, b, width);
  if (rows == (TwoRows ? 2 : 1) * kSide && columns == (TwoColumns ? 2 : 1) * kSide)
    return store_tiles<TwoRows, TwoColumns>(c, ldc);
  alignas(64) float block[4 * kSide * kSide];
  store_tiles<TwoRows, TwoColumns>(block, 2 * kSide);
  for (std::size_t r = 0; r < rows; ++r)
    for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
      store_first(c + r * ldc + j, load(block + r * 2 * kSide + j), lanes);
    });
}

template <typename T>
inline void multiply_tiles(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                           const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns) {
  __asm__ volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
  const std::size_t width = round_up(columns, kSide);
  constexpr std::size_t kTwo = 2 * kSide;
  for (std::size_t column = 0; column < columns; column += kTwo)
    for (std::size_t row = 0; row < rows; row += kTwo) {
      const std::size_t height = rows - row < kTwo ? rows - row : kTwo;
      const std::size_t breadth = columns - column < kTwo ? columns - column : kTwo;
      const auto multiply = height > kSide
                                ? (breadth > kSide ? multiply_block<T, true, true> : multiply_block<T, true, false>)
                                : (breadth > kSide ? multiply_block<T, false, true> : multiply_block<T, false, false>);
      multiply(height, words, a + row * lda, lda, panel + column, width, c + row * ldc + column, ldc, breadth);
    }
}

template <>
inline void multiply_panel<Bf16>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                                 const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns) {
  multiply_tiles<Bf16>(rows, words, a, lda, panel, c, ldc, columns);
}
template <>
inline void multiply_panel<I8>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t lda,
                               const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns) {
  multiply_tiles<I8>(rows, words, a, lda, panel, c, ldc, columns);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
