// An operand of float32 rows in parts: blocks of 32 rows, a block as the products read it, 32 numbers of all rows at a
// time: two tiles of each part in turn. Behind them a mark for every 16 numbers, those of the 32 rows in turn.
#pragma once

#include "cpu/amx_parts.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kDeep = 2 * kSide;                 // numbers of a tile's row
inline constexpr std::size_t kPartWords = kTwo * kSide;         // one part of 32 rows by 32 numbers
inline constexpr std::size_t kStepWords = kParts * kPartWords;  // all of them

// Of k numbers, a multiple of kDeep.
inline std::size_t part_block_words(std::size_t k) {
  return k / kDeep * kStepWords + k / kSide * kTwo / sizeof(std::uint32_t);
}

// Where in a block the first part of a number is, in halves of words; the second is 2 kPartWords behind it.
inline std::size_t part_offset(std::size_t row, std::size_t column) {
  return 2 * (column / kDeep * kStepWords + row * kSide) + column % kDeep;
}

// Where in a block a number's mark is, in bytes.
inline std::size_t mark_offset(std::size_t row, std::size_t column, std::size_t k) {
  return k / kDeep * kStepWords * sizeof(std::uint32_t) + column / kSide * kTwo + row;
}

// A bit for each row of a block that is not to be multiplied in parts.
inline std::uint32_t plain_rows(const std::uint32_t* block, std::size_t k) {
  const auto* const marks = reinterpret_cast<const std::uint8_t*>(block) + mark_offset(0, 0, k);
  __m256i all = _mm256_setzero_si256();
  for (std::size_t i = 0; i < k / kSide; ++i)
    all = _mm256_or_si256(all, _mm256_load_si256(reinterpret_cast<const __m256i*>(marks + i * kTwo)));
  const __mmask32 split = _mm256_cmpeq_epi8_mask(all, _mm256_setzero_si256()) |
                          _mm256_cmpeq_epi8_mask(all, _mm256_set1_epi8(kNotZero | kLarge));
  return ~split;
}

// out[k] = the numbers of a row of a block.
inline void join_row(const std::uint32_t* block, std::size_t row, std::size_t k, float* out) {
  const auto* const parts = reinterpret_cast<const std::uint16_t*>(block);
  for (std::size_t i = 0; i < k; i += kWidth) store(out + i, join_parts(parts + part_offset(row, i), 2 * kPartWords));
}

// How a linear layer reads its rows; F32Rows on the other instruction sets.
struct PartRows {
  static constexpr MatrixFormat kFormat = {kTwo, kSide, kDeep, 1, 0, true};
  static constexpr bool kIntegers = false;
  static constexpr bool kShort = false;
  static constexpr bool kPutsHeads = false;
  static constexpr bool kGivesOperands = true;

  static std::size_t padded(std::size_t k) { return round_up(k, kDeep); }
  static std::size_t operand(std::size_t rows, std::size_t k) {
    return round_up(rows, kTwo) / kTwo * part_block_words(padded(k));
  }
  static std::size_t pack_scratch(std::size_t) { return 0; }
  static void pack(Strided<const float> x, std::size_t begin, std::size_t end, std::size_t, const PanelMatrix& w,
                   float* operand, float*) {
    const std::size_t k = padded(w.k);
    for (std::size_t r = begin; r < end; ++r)
      for (std::size_t i = 0; i < k; i += kWidth) {
        const float* const from = x.row(r) + i;
        const Vec v = i + kWidth <= w.k ? load(from) : load_first(from, i < w.k ? w.k - i : 0);
        store(reinterpret_cast<std::uint32_t*>(operand), k / 2, r, i, v);
      }
  }
  // A vector of a row of so many pairs of numbers, from `column` on.
  static void store(std::uint32_t* operand, std::size_t pairs, std::size_t row, std::size_t column, Vec v) {
    std::uint32_t* const block = operand + row / kTwo * part_block_words(2 * pairs);
    std::uint16_t* const to = reinterpret_cast<std::uint16_t*>(block) + part_offset(row % kTwo, column);
    const std::uint8_t mark = store_parts(v, to, 2 * kPartWords);
    reinterpret_cast<std::uint8_t*>(block)[mark_offset(row % kTwo, column, 2 * pairs)] = mark;
  }

  explicit PartRows(const LinearTask& task)
      : data(static_cast<const std::uint32_t*>(task.operand)), k(padded(task.weight.k)) {}
  static constexpr const float* scales = nullptr;
  const std::uint32_t* block(std::size_t i) const { return data + i * part_block_words(k); }
  const std::uint32_t* data;
  std::size_t k;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
