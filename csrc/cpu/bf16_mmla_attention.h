// Attention with bfmmla: K and V go into panels of four numbers along what is summed, as two columns lie in them.
#pragma once

#include "cpu/attention_impl.h"
#include "cpu/bf16_mmla.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

struct PairedAttention : Bf16Attention<Bf16, kPairedRows> {
  static constexpr std::size_t kNumbers = 2 * kUnit;  // of a column
  static_assert(kNumbers == kWidth);
  static std::size_t key_scratch(std::size_t, std::size_t) { return 0; }

  // panels of k^T: [d / 4, keys, 4]
  static void pack_keys(const Number* k, std::size_t stride, std::size_t keys, std::size_t d, float*, float* panels) {
    const std::size_t padded = 2 * bf16_words(d);
    for (std::size_t first = 0; first < keys; first += kPanelWidth) {
      const std::size_t width = round_up(keys - first < kPanelWidth ? keys - first : kPanelWidth, kWidth);
      auto* const out = reinterpret_cast<std::uint16_t*>(panels + first * padded / 2);
      for (std::size_t j = 0; j < width; ++j) {
        const Number* const row = k + (first + j) * stride;
        const std::size_t numbers = first + j < keys ? d : 0;
        for (std::size_t i = 0; i < padded; i += kNumbers) {
          const std::size_t left = i < numbers ? numbers - i : 0;
          store_bf16(out + i * width + j * kNumbers, load_first(row + i, left < kNumbers ? left : kNumbers));
        }
      }
    }
  }

  // panels of v: [keys / 4, d, 4]
  static void pack_values(const Number* v, std::size_t stride, std::size_t keys, std::size_t d, float* panels) {
    const std::size_t padded = 2 * bf16_words(keys);
    for (std::size_t first = 0; first < d; first += kPanelWidth) {
      const std::size_t columns = panel_columns(d, first / kPanelWidth);
      auto* out = reinterpret_cast<std::uint16_t*>(panels + first * padded / 2);
      for (std::size_t i = 0; i < padded; i += kNumbers)
        for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
          float rows[kNumbers * kWidth], turned[kNumbers * kWidth];
          for (std::size_t r = 0; r < kNumbers; ++r)
            store(rows + r * kWidth, i + r < keys ? load_first(v + (i + r) * stride + first + j, lanes) : set(0.0f));
          transpose(rows, kWidth, turned, kWidth);
          for (std::size_t column = 0; column < kWidth; ++column, out += kNumbers)
            store_bf16(out, load(turned + column * kWidth));
        });
    }
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
