// Products of bfloat16 and int8 on AMX tiles: 32 rows by 32 columns of sums in four tiles, fed by two tiles of rows (16
// rows of 16 words) and two of columns (16 words by 16 columns of a panel).
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_vnni_512.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kSide = 16;  // rows of a tile, and 32-bit words of its rows
inline constexpr std::size_t kTwo = 2 * kSide;
inline constexpr std::size_t kLineBytes = kSide * sizeof(std::uint32_t);

inline std::size_t count_blocks(std::size_t n, std::size_t size) { return (n + size - 1) / size; }

// Rows in blocks of 32, a block as the products read it: two tiles of 16 words, two of the next 16 ...
struct Tiled {
  static constexpr std::size_t kPiece = kSide;
  static constexpr std::size_t kStep = kTwo * kSide;
  static std::size_t size(std::size_t rows, std::size_t words) { return round_up(rows, kTwo) * words; }
  static std::size_t stride(std::size_t words) { return words; }
  static std::size_t offset(std::size_t row, std::size_t words) {
    return row / kTwo * kTwo * words + row % kTwo * kSide;
  }
  static void put(std::uint32_t* piece, std::size_t i, Vec v) { RowMajor::put(piece, i, v); }
};

struct Bf16 {
  using Layout = Tiled;
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  static constexpr bool kIntegers = false;
  static std::size_t block(std::size_t words) { return words; }
};
struct I8 : I8Operand {
  using Layout = Tiled;
  static constexpr bool kIntegers = true;
};

// GCC's tile loads do not say that they read memory: what they read has to be stored before this.
inline void finish_stores() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// For up to 16 rows: tiles of rows, and of their sums, have no more.
struct TileConfigs {
  TileConfig of[kSide + 1] = {};
  constexpr TileConfigs() {
    for (std::uint8_t rows = 1; rows <= kSide; ++rows) of[rows].rows[0] = of[rows].rows[1] = of[rows].rows[4] = rows;
  }
};

// The calling thread's tiles, for as long as this lives.
class TileScope {
 public:
  explicit TileScope(std::size_t rows = kSide) {
    static constexpr TileConfigs kConfigs;
    _tile_loadconfig(&kConfigs.of[rows < kSide ? rows : kSide]);
  }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// A block of sums, rows `stride` apart.
struct Block {
  float* data;
  std::size_t stride;
};

template <bool TwoRows, bool TwoColumns>
inline void load_sums(const Block& from) {
  const float* const c = from.data;
  const std::size_t stride = from.stride * sizeof(*c);
  _tile_loadd(0, c, stride);
  if constexpr (TwoColumns) _tile_loadd(1, c + kSide, stride);
  if constexpr (TwoRows) _tile_loadd(2, c + kSide * from.stride, stride);
  if constexpr (TwoRows && TwoColumns) _tile_loadd(3, c + kSide * from.stride + kSide, stride);
}

template <bool TwoRows, bool TwoColumns>
inline void clear_sums() {
  _tile_zero(0);
  if constexpr (TwoColumns) _tile_zero(1);
  if constexpr (TwoRows) _tile_zero(2);
  if constexpr (TwoRows && TwoColumns) _tile_zero(3);
}

template <bool TwoRows, bool TwoColumns>
inline void store_sums(const Block& to) {
  float* const c = to.data;
  const std::size_t stride = to.stride * sizeof(*c);
  _tile_stored(0, c, stride);
  if constexpr (TwoColumns) _tile_stored(1, c + kSide, stride);
  if constexpr (TwoRows) _tile_stored(2, c + kSide * to.stride, stride);
  if constexpr (TwoRows && TwoColumns) _tile_stored(3, c + kSide * to.stride + kSide, stride);
}

// Of 16 words of rows. Streamed rows leave the columns in L1.
template <bool TwoRows, bool Stream>
inline void load_rows(const std::uint32_t* a) {
  if constexpr (Stream) {
    _tile_stream_loadd(4, a, kLineBytes);
    if constexpr (TwoRows) _tile_stream_loadd(5, a + kSide * kSide, kLineBytes);
  } else {
    _tile_loadd(4, a, kLineBytes);
    if constexpr (TwoRows) _tile_loadd(5, a + kSide * kSide, kLineBytes);
  }
}

// Sums 0 to 3: rows a and a + 16 by columns b and b + 16.
template <typename T, bool TwoRows, bool TwoColumns>
inline void multiply_tiles() {
  if constexpr (T::kIntegers) {
    _tile_dpbusd(0, 4, 6);
    if constexpr (TwoColumns) _tile_dpbusd(1, 4, 7);
    if constexpr (TwoRows) _tile_dpbusd(2, 5, 6);
    if constexpr (TwoRows && TwoColumns) _tile_dpbusd(3, 5, 7);
  } else {
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (TwoColumns) _tile_dpbf16ps(1, 4, 7);
    if constexpr (TwoRows) _tile_dpbf16ps(2, 5, 6);
    if constexpr (TwoRows && TwoColumns) _tile_dpbf16ps(3, 5, 7);
  }
}

// body.template operator()<TwoRows, TwoColumns>()
template <typename Body>
inline void as_tiles(std::size_t rows, std::size_t columns, const Body& body) {
  if (rows > kSide)
    columns > kSide ? body.template operator()<true, true>() : body.template operator()<true, false>();
  else
    columns > kSide ? body.template operator()<false, true>() : body.template operator()<false, false>();
}

// For products with nothing to do beside them.
struct Nothing {
  void step() {}
};

// Up to 32 rows and columns: sums on top of `from`, if it is there, to `to`; both in whole tiles. Steps of `beside` go
// between those of the tiles.
template <typename T, bool Stream, typename Beside>
inline void multiply_block(std::size_t rows, std::size_t columns, std::size_t words, const std::uint32_t* a,
                           const std::uint32_t* b, std::size_t width, const Block& from, const Block& to,
                           Beside& beside) {
  as_tiles(rows, columns, [&]<bool TwoRows, bool TwoColumns>() {
    const std::size_t stride = width * sizeof(*b);
    from.data ? load_sums<TwoRows, TwoColumns>(from) : clear_sums<TwoRows, TwoColumns>();
    for (std::size_t i = 0; i < words; i += kSide) {
      beside.step();
      _tile_loadd(6, b + i * width, stride);
      load_rows<TwoRows, Stream>(a + i * kTwo);
      if constexpr (TwoColumns) _tile_loadd(7, b + i * width + kSide, stride);
      multiply_tiles<T, TwoRows, TwoColumns>();
    }
    store_sums<TwoRows, TwoColumns>(to);
  });
}

inline void copy_block(std::size_t rows, std::size_t columns, const float* from, std::size_t from_stride, float* to,
                       std::size_t to_stride) {
  for (std::size_t r = 0; r < rows; ++r)
    for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
      store_first(to + r * to_stride + j, load_first(from + r * from_stride + j, lanes), lanes);
    });
}

// For attention in bfloat16; linear ops go through TiledLinear (amx_linear.h), whose panels are narrower.
template <>
inline void multiply_panel<Bf16>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t,
                                 const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns,
                                 std::size_t) {
  finish_stores();
  const std::size_t width = round_up(columns, kSide);
  Nothing nothing;
  for (std::size_t column = 0; column < columns; column += kTwo)
    for (std::size_t row = 0; row < rows; row += kTwo) {
      const std::size_t height = rows - row < kTwo ? rows - row : kTwo;
      const std::size_t breadth = columns - column < kTwo ? columns - column : kTwo;
      float* to = c + row * ldc + column;
      const std::uint32_t* const x = a + row * words;
      if (height % kSide == 0 && breadth % kSide == 0) {
        multiply_block<Bf16, false>(height, breadth, words, x, panel + column, width, {}, {to, ldc}, nothing);
        continue;
      }
      alignas(64) float block[kTwo * kTwo];
      multiply_block<Bf16, false>(height, breadth, words, x, panel + column, width, {}, {block, kTwo}, nothing);
      copy_block(height, breadth, block, kTwo, to, ldc);
    }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
