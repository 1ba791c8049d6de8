// The product of two sides in bfloat16 parts (amx_parts.h), over up to 128 numbers along k.
#pragma once

#include "cpu/amx_part_rows.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Sums over k longer than this are taken in blocks of it, each from zero.
inline constexpr std::size_t kPartBlock = 128;

// 16 columns, 32 numbers of each at a time: for each part a tile of 16 pairs of them. The next 16 columns are in the
// tiles right behind.
struct PartColumns {
  const std::uint32_t* data;
  std::size_t part, step;  // words to the next part, and to the next 32 numbers
};

// Of 32 numbers at a time: first the five small products of all of them, then the large one. Steps of `beside`, two for
// each, go between those of the tiles.
template <bool TwoRows, bool TwoColumns, typename Beside>
inline void multiply_parts(std::size_t steps, const std::uint32_t* a, const PartColumns& b, const Block& to,
                           Beside& beside) {
  const auto columns = [](const std::uint32_t* tile) {
    _tile_loadd(6, tile, kLineBytes);
    if constexpr (TwoColumns) _tile_loadd(7, tile + kSide * kSide, kLineBytes);
  };
  const auto multiply = [] { multiply_tiles<Bf16, TwoRows, TwoColumns>(); };
  clear_sums<TwoRows, TwoColumns>();
  for (std::size_t s = 0; s < steps; ++s) {
    const std::uint32_t* const x = a + s * kStepWords;
    const std::uint32_t* const y = b.data + s * b.step;
    beside.step();
    load_rows<TwoRows, true>(x + 2 * kPartWords);
    columns(y);
    multiply();
    load_rows<TwoRows, false>(x + kPartWords);
    multiply();
    columns(y + b.part);
    multiply();
    load_rows<TwoRows, false>(x);
    multiply();
    columns(y + 2 * b.part);
    multiply();
  }
  for (std::size_t s = 0; s < steps; ++s) {
    beside.step();
    load_rows<TwoRows, false>(a + s * kStepWords);
    columns(b.data + s * b.step);
    multiply();
  }
  store_sums<TwoRows, TwoColumns>(to);
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
