// Blocks of float32 weights, cut into bfloat16 parts as the tiles read them just before they are multiplied: in memory
// they stay float32, which is two thirds of what the parts take.
#pragma once

#include "cpu/amx_beside.h"
#include "cpu/amx_part_product.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Of a split block: for each part and 32 numbers along k two tiles, of 16 columns each.
inline constexpr std::size_t kSplitStep = 2 * kSide * kSide;
inline constexpr std::size_t kSplitPart = kPartBlock / kDeep * kSplitStep;
inline constexpr std::size_t kSplitWords = kParts * kSplitPart;

// Rows [k, width] of a panel of floats.
struct WeightBlock {
  const float* data = nullptr;
  std::size_t k = 0;
  std::size_t width = kTwo;
};

class Splitter {
 public:
  Splitter(const WeightBlock& from, std::uint32_t* to, std::size_t steps)
      : from_(from), to_(to), spread_(from.k / 2, steps) {}

  void step() { split(spread_.next()); }
  void split_all() { split(from_.k); }

 private:
  // So many pairs of rows, if there are as many left.
  void split(std::size_t pairs) {
    for (; pairs > 0 && row_ < from_.k; --pairs, row_ += 2) {
      const float* const low = from_.data + row_ * from_.width;
      const float* const high = low + from_.width;
      std::uint32_t* const out = to_ + row_ / kDeep * kSplitStep + row_ % kDeep / 2 * kSide;
      store_pair_parts(load(low), load(high), out, kSplitPart);
      if (from_.width > kSide) store_pair_parts(load(low + kSide), load(high + kSide), out + kSide * kSide, kSplitPart);
    }
  }

  WeightBlock from_;
  std::uint32_t* to_;
  std::size_t row_ = 0;
  Spread spread_;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
