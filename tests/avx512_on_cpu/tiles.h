// AMX tiles in plain C++, in the place of the intrinsics: up to 16 rows of 64 bytes each. bfloat16 products are summed
// in the order that Intel's manual gives for TDPBF16PS, with subnormal numbers as zeros; integer sums are exact.
#pragma once

#include <immintrin.h>

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace filbert::testing {
namespace {

struct Tile {
  unsigned char rows[16][64];

  template <typename T>
  T at(std::size_t row, std::size_t column) const {
    T value;
    std::memcpy(&value, rows[row] + column * sizeof(T), sizeof(T));
    return value;
  }
};
thread_local Tile tiles[8];

thread_local std::size_t rows_of[8];

// Palette 1: the tiles' rows are at byte 48.
inline void configure(const void* config) {
  for (std::size_t tile = 0; tile < 8; ++tile) rows_of[tile] = static_cast<const unsigned char*>(config)[48 + tile];
}

inline void load_tile(int tile, const void* from, std::size_t stride) {
  for (std::size_t r = 0; r < rows_of[tile]; ++r)
    std::memcpy(tiles[tile].rows[r], static_cast<const char*>(from) + r * stride, 64);
}
inline void store_tile(int tile, void* to, std::size_t stride) {
  for (std::size_t r = 0; r < rows_of[tile]; ++r)
    std::memcpy(static_cast<char*>(to) + r * stride, tiles[tile].rows[r], 64);
}
inline void zero_tile(int tile) { std::memset(tiles[tile].rows, 0, sizeof(tiles[tile].rows)); }

inline float flush(float value) { return std::abs(value) < FLT_MIN ? std::copysign(0.0f, value) : value; }

inline float float_of_bf16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return flush(value);
}

// sum[m][n] += a[m][2 k] b[k][2 n], and the same of what is beside them: each from zero over k, then both together.
inline void multiply_bf16(int sum, int a, int b) {
  float columns[32][16];
  for (std::size_t k = 0; k < 32; ++k)
    for (std::size_t n = 0; n < 16; ++n)
      columns[k][n] = float_of_bf16(tiles[b].at<std::uint16_t>(k / 2, 2 * n + k % 2));
  for (std::size_t m = 0; m < rows_of[sum]; ++m) {
    float totals[2][16] = {};
    for (std::size_t k = 0; k < 32; ++k) {
      const float x = float_of_bf16(tiles[a].at<std::uint16_t>(m, k));
      for (std::size_t n = 0; n < 16; ++n) totals[k % 2][n] = flush(std::fma(x, columns[k][n], totals[k % 2][n]));
    }
    for (std::size_t n = 0; n < 16; ++n) {
      const float total = flush(flush(tiles[sum].at<float>(m, n)) + flush(totals[0][n] + totals[1][n]));
      std::memcpy(tiles[sum].rows[m] + n * sizeof(total), &total, sizeof(total));
    }
  }
}

// sum[m][n] += a[m][k] b[k / 4][4 n + k % 4]
inline void multiply_unsigned_signed(int sum, int a, int b) {
  for (std::size_t m = 0; m < rows_of[sum]; ++m) {
    std::int32_t totals[16];
    std::memcpy(totals, tiles[sum].rows[m], sizeof(totals));
    for (std::size_t k = 0; k < 64; ++k) {
      const int x = tiles[a].at<std::uint8_t>(m, k);
      for (std::size_t n = 0; n < 16; ++n) totals[n] += x * tiles[b].at<std::int8_t>(k / 4, n * 4 + k % 4);
    }
    std::memcpy(tiles[sum].rows[m], totals, sizeof(totals));
  }
}

}  // namespace
}  // namespace filbert::testing

#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#undef _tile_loadconfig
#undef _tile_release
#define _tile_loadd(tile, from, stride) filbert::testing::load_tile(tile, from, stride)
#define _tile_stream_loadd(tile, from, stride) filbert::testing::load_tile(tile, from, stride)
#define _tile_stored(tile, to, stride) filbert::testing::store_tile(tile, to, stride)
#define _tile_zero(tile) filbert::testing::zero_tile(tile)
#define _tile_dpbf16ps(sum, a, b) filbert::testing::multiply_bf16(sum, a, b)
#define _tile_dpbusd(sum, a, b) filbert::testing::multiply_unsigned_signed(sum, a, b)
#define _tile_loadconfig(config) filbert::testing::configure(config)
#define _tile_release() static_cast<void>(0)
