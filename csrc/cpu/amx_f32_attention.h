// Attention in float32 on bfloat16 tiles, as precise as multiply-adds: q, K, the numerators of the softmax and V are
// cut into parts (amx_parts.h). For 32 queries, 128 keys and heads of 64 that are 384 products of tiles, and 384
// vectors of queries and numerators that are cut; the 1,024 of K and V are for all queries of a task.
#pragma once

#include "cpu/amx_part_product.h"
#include "cpu/attention_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Words of a row, or of a column, for every 32 numbers.
inline constexpr std::size_t kDeepWords = kParts * kSide;

// Rows in a block as PartRows has them, without marks. Panels of columns as PartColumns says, a part's tiles of all
// columns side by side.
struct PartOperand {
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  static std::size_t block(std::size_t words) { return words; }
};

// Of a panel of so many columns, a multiple of 16.
inline PartColumns part_columns(const std::uint32_t* panel, std::size_t width, std::size_t step, std::size_t column) {
  const std::size_t part = width * kSide;
  return {panel + step * kParts * part + column * kSide, part, kParts * part};
}

inline void add_block(std::size_t rows, std::size_t columns, const float* block, float* c, std::size_t ldc) {
  for (std::size_t r = 0; r < rows; ++r, block += kTwo, c += ldc)
    for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
      store_first(c + j, load_first(c + j, lanes) + load_first(block + j, lanes), lanes);
    });
}

template <>
inline void multiply_panel<PartOperand>(std::size_t rows, std::size_t words, const std::uint32_t* a, std::size_t,
                                        const std::uint32_t* panel, float* c, std::size_t ldc, std::size_t columns,
                                        std::size_t) {
  constexpr std::size_t kSteps = kPartBlock / kDeep;
  finish_stores();
  const std::size_t width = round_up(columns, kSide), steps = words / kDeepWords;
  Nothing nothing;
  for (std::size_t column = 0; column < columns; column += kTwo) {
    const std::size_t breadth = columns - column < kTwo ? columns - column : kTwo;
    const bool whole = rows % kSide == 0 && breadth % kSide == 0;
    for (std::size_t step = 0; step < steps; step += kSteps) {
      alignas(64) float block[kTwo * kTwo];
      const bool there = whole && step == 0;
      as_tiles(rows, breadth, [&]<bool TwoRows, bool TwoColumns>() {
        multiply_parts<TwoRows, TwoColumns>(steps - step < kSteps ? steps - step : kSteps, a + step * kStepWords,
                                            part_columns(panel, width, step, column),
                                            there ? Block{c + column, ldc} : Block{block, kTwo}, nothing);
      });
      if (step > 0)
        add_block(rows, breadth, block, c + column, ldc);
      else if (!whole)
        copy_block(rows, breadth, block, kTwo, c + column, ldc);
    }
  }
}

// The upper halves of two vectors' words.
struct UpperHalves {
  alignas(64) std::uint16_t at[2 * kSide];
  constexpr UpperHalves() : at() {
    for (std::size_t i = 0; i < 2 * kSide; ++i) at[i] = static_cast<std::uint16_t>(2 * i + 1);
  }
};

// The parts of 32 numbers, each 16 words.
inline void store_line_parts(Vec low, Vec high, std::uint32_t* out) {
  static constexpr UpperHalves kUpper;
  const __m512i upper = _mm512_load_si512(kUpper.at);
  FILBERT_UNROLL
  for (std::size_t part = 0; part < kParts; ++part, out += kPartWords) {
    store_words(out, {_mm512_permutex2var_epi16(bits_of(low), upper, bits_of(high))});
    if (part + 1 == kParts) break;
    low = without_part(low);
    high = without_part(high);
  }
}

// Up to 16 numbers of a row of n, from `begin` on, and zeros.
inline Vec load_some(const float* row, std::size_t begin, std::size_t n) {
  if (begin + kWidth <= n) return load(row + begin);
  return load_first(row + begin, begin < n ? n - begin : 0);
}

// How attention reads q, k, v and the softmax (attention_impl.h).
struct PartAttention {
  using Operand = PartOperand;
  using Number = float;
  static constexpr auto kPutHeads = nullptr;
  static constexpr std::size_t kQueries = kTwo;
  static std::size_t words(std::size_t k) { return round_up(k, kDeep) / kDeep * kDeepWords; }
  static std::size_t seen_block(std::size_t words) { return words; }
  static std::size_t row_scratch(std::size_t rows, std::size_t k) { return round_up(rows, kTwo) * words(k); }
  static std::size_t key_scratch(std::size_t, std::size_t) { return 0; }

  static const std::uint32_t* rows(const float* x, std::size_t stride, std::size_t count, std::size_t k,
                                   float* scratch) {
    auto* const out = reinterpret_cast<std::uint32_t*>(scratch);
    for (std::size_t r = 0; r < count; ++r, x += stride)
      for (std::size_t i = 0; i < k; i += kDeep)
        store_line_parts(load_some(x, i, k), load_some(x, i + kSide, k), out + i / kDeep * kStepWords + r * kSide);
    return out;
  }

  static void pack_keys(const float* k, std::size_t stride, std::size_t keys, std::size_t d, float*, float* panels) {
    const std::size_t deep = round_up(d, kDeep);
    pack(keys, deep, panels, [&](std::size_t key, std::size_t i, float* block) {
      alignas(64) float rows[kSide * kSide] = {};
      for (std::size_t r = 0; r < kSide && key + r < keys; ++r)
        store(rows + r * kSide, load_some(k + (key + r) * stride, i, d));
      transpose(rows, kSide, block, kSide);
    });
  }

  static void pack_values(const float* v, std::size_t stride, std::size_t keys, std::size_t d, float* panels) {
    pack(d, round_up(keys, kDeep), panels, [&](std::size_t column, std::size_t i, float* block) {
      for (std::size_t r = 0; r < kSide; ++r)
        store(block + r * kSide, i + r < keys ? load_some(v + (i + r) * stride, column, d) : set(0.0f));
    });
  }

 private:
  // Panels of so many columns, each `deep` numbers. read(column, i, block): 16 numbers from number i on of 16 columns,
  // [number, column].
  template <typename Read>
  static void pack(std::size_t columns, std::size_t deep, float* panels, const Read& read) {
    for (std::size_t first = 0; first < columns; first += kPanelWidth) {
      const std::size_t width = round_up(panel_columns(columns, first / kPanelWidth), kSide);
      auto* const panel = reinterpret_cast<std::uint32_t*>(panels) + first * words(deep);
      for (std::size_t i = 0; i < deep; i += kSide)
        for (std::size_t column = 0; column < width; column += kSide) {
          alignas(64) float block[kSide * kSide];
          read(first + column, i, block);
          const std::size_t part = width * kSide;
          std::uint32_t* const tile = panel + i / kDeep * kParts * part + column * kSide + i % kDeep / 2 * kSide;
          for (std::size_t r = 0; r < kSide; r += 2)
            store_pair_parts(load(block + r * kSide), load(block + (r + 1) * kSide), tile + r / 2 * kSide, part);
        }
    }
  }
};

// Whether numbers whose largest magnitude this is can be multiplied in parts (kernels.h).
inline bool fits_parts(float top) { return top == 0.0f || (top >= kLeastTop && top <= kMostTop); }

// Whether each key does, and each column of the values.
inline bool keys_fit_parts(const AttentionTask& task) {
  const std::size_t d = task.head_size;
  for (std::size_t key = 0; key < task.keys; ++key) {
    const float* const row = row_of<PartAttention>(task.k, key);
    Vec tops = set(0.0f);
    for (std::size_t i = 0; i < d; i += kWidth) tops = max_magnitude(tops, load_some(row, i, d));
    if (!fits_parts(reduce_max_magnitude(tops))) return false;
  }
  for (std::size_t i = 0; i < d; i += kWidth) {
    Vec tops = set(0.0f);
    for (std::size_t key = 0; key < task.keys; ++key)
      tops = max_magnitude(tops, load_some(row_of<PartAttention>(task.v, key), i, d));
    alignas(64) float top[kWidth];
    store(top, tops);
    for (const float each : top)
      if (!fits_parts(each)) return false;
  }
  return true;
}

// Queries that see some keys only go without parts: which keys are read for them depends on the queries beside them.
// So do keys and values with infinities, NaN, or magnitudes that parts lose. Of queries these would make no difference:
// with an infinity or a NaN all of the row is NaN, and what is lost of a tiny one is nothing in a score.
inline void attention_in_parts(const AttentionTask& task) {
  task.relative || !keys_fit_parts(task) ? attention<F32Attention>(task) : attention<PartAttention>(task);
}

inline std::size_t attention_in_parts_scratch(std::size_t keys, std::size_t head_size) {
  const std::size_t plain = attention_scratch<F32Attention>(keys, head_size);
  const std::size_t parts = attention_scratch<PartAttention>(keys, head_size);
  return plain > parts ? plain : parts;
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
