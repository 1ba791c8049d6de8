// AMX tiles in plain C++, in the place of the intrinsics: 16 rows of 64 bytes each. Sums of bfloat16 are taken in the
// order of k, which the hardware does not promise; integer sums are exact in any order.
#pragma once

#include <immintrin.h>

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

inline void load_tile(int tile, const void* from, std::size_t stride) {
  for (std::size_t r = 0; r < 16; ++r)
    std::memcpy(tiles[tile].rows[r], static_cast<const char*>(from) + r * stride, 64);
}
inline void store_tile(int tile, void* to, std::size_t stride) {
  for (std::size_t r = 0; r < 16; ++r) std::memcpy(static_cast<char*>(to) + r * stride, tiles[tile].rows[r], 64);
}
inline void zero_tile(int tile) { std::memset(tiles[tile].rows, 0, sizeof(tiles[tile].rows)); }

inline float float_of_bf16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

// sum[m][n] += a[m][k] b[k / group][n group + k % group]
template <typename Sum, typename A, typename B, typename Multiply>
inline void multiply_tiles(int sum, int a, int b, const Multiply& multiply) {
  constexpr std::size_t kGroup = 4 / sizeof(A);
  for (std::size_t m = 0; m < 16; ++m) {
    Sum totals[16];
    std::memcpy(totals, tiles[sum].rows[m], sizeof(totals));
    for (std::size_t k = 0; k < 16 * kGroup; ++k) {
      const A x = tiles[a].at<A>(m, k);
      for (std::size_t n = 0; n < 16; ++n)
        totals[n] += multiply(x, tiles[b].at<B>(k / kGroup, n * kGroup + k % kGroup));
    }
    std::memcpy(tiles[sum].rows[m], totals, sizeof(totals));
  }
}

inline void multiply_bf16(int sum, int a, int b) {
  multiply_tiles<float, std::uint16_t, std::uint16_t>(
      sum, a, b, [](std::uint16_t x, std::uint16_t y) { return float_of_bf16(x) * float_of_bf16(y); });
}
inline void multiply_unsigned_signed(int sum, int a, int b) {
  multiply_tiles<std::int32_t, std::uint8_t, std::int8_t>(sum, a, b, [](int x, int y) { return x * y; });
}

}  // namespace
}  // namespace filbert::testing

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#undef _tile_loadconfig
#undef _tile_release
#define _tile_loadd(tile, from, stride) filbert::testing::load_tile(tile, from, stride)
#define _tile_stored(tile, to, stride) filbert::testing::store_tile(tile, to, stride)
#define _tile_zero(tile) filbert::testing::zero_tile(tile)
#define _tile_dpbf16ps(sum, a, b) filbert::testing::multiply_bf16(sum, a, b)
#define _tile_dpbusd(sum, a, b) filbert::testing::multiply_unsigned_signed(sum, a, b)
#define _tile_loadconfig(config) static_cast<void>(config)
#define _tile_release() static_cast<void>(0)
