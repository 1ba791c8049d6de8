// Linear layers of float32 on bfloat16 tiles, as precise as multiply-adds: six products of the parts of both sides
// (amx_parts.h). Panels of 32 columns in blocks of 128 along k, from zero: first the five small products over the whole
// block, then the large one; blocks are added in order. Beside a block's products the next one is split, the one after
// it comes to L2, and rows of the panel before become results. For 32 rows and a block that is, beside 96 products, 64
// tiles loaded, 4 sums stored and (but for the first block) 64 vectors added; 128 pairs of vectors are split once for
// all rows.
#pragma once

#include "cpu/amx_split.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

class PartLinear {
 public:
  static constexpr MatrixFormat kFormat = PartRows::kFormat;

  static std::size_t scratch(std::size_t rows, std::size_t k) { return Scratch(rows, k).total; }

  PartLinear(const LinearTask& task, float* scratch)
      : task_(task),
        w_(task.weight),
        a_(task),
        row_blocks_(count_blocks(task.rows, kTwo)),
        depth_(count_blocks(a_.k, kPartBlock)),
        at_(task.rows, w_.k),
        scratch_(scratch) {
    for (std::size_t i = 0; i < row_blocks_; ++i) plain()[i] = plain_rows(a_.block(i), a_.k) & rows_of(i);
  }

  void run(std::size_t begin, std::size_t end) const {
    const std::size_t blocks = (end - begin) * depth_;
    const auto block = [&](std::size_t i) {
      return i < blocks ? block_of(begin + i / depth_, i % depth_) : WeightBlock{};
    };
    PendingRows rows;
    Splitter(block(0), split(0), 1).split_all();
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::size_t panel = begin + i / depth_;
      const std::size_t steps = 2 * row_blocks_ * block(i).k / kDeep;
      const WeightBlock later = block(i + 2);
      Beside beside = {Prefetcher(later.data, later.k * later.width * sizeof(float), steps), rows,
                       Splitter(block(i + 1), split(i + 1), steps)};
      finish_stores();
      multiply_rows(block(i), i % depth_, split(i), sums(panel), beside);
      beside.splitter.split_all();
      if ((i + 1) % depth_ > 0) continue;
      rows.finish_all();
      multiply_plainly(panel, sums(panel));
      rows = PendingRows(task_, a_, panel * kTwo, columns_of(panel), sums(panel), 2 * row_blocks_ * a_.k / kDeep);
    }
    rows.finish_all();
  }

 private:
  struct Beside {
    Prefetcher next;
    PendingRows& rows;
    Splitter splitter;
    void step() {
      next.step();
      rows.step();
      splitter.step();
    }
  };

  // Where things are, in floats: two split blocks, sums of one block, those of two panels, a few whole rows, and which
  // rows are not multiplied in parts.
  struct Scratch {
    std::size_t block, sums, whole, plain, total;
    Scratch(std::size_t rows, std::size_t k)
        : block(2 * kSplitWords),
          sums(block + kTwo * kTwo),
          whole(sums + 2 * round_up(rows, kTwo) * kTwo),
          plain(whole + kTileRows * PartRows::padded(k)),
          total(plain + round_up(count_blocks(rows, kTwo), kSide)) {}
  };

  std::uint32_t* split(std::size_t i) const { return reinterpret_cast<std::uint32_t*>(scratch_) + i % 2 * kSplitWords; }
  float* sums(std::size_t panel) const { return scratch_ + at_.sums + panel % 2 * row_blocks_ * kTwo * kTwo; }
  std::uint32_t* plain() const { return reinterpret_cast<std::uint32_t*>(scratch_ + at_.plain); }

  std::size_t columns_of(std::size_t panel) const {
    const std::size_t left = w_.n - panel * kTwo;
    return left < kTwo ? left : kTwo;
  }
  const float* panel_of(std::size_t panel) const { return static_cast<const float*>(w_.panels) + panel * kTwo * a_.k; }
  WeightBlock block_of(std::size_t panel, std::size_t depth) const {
    const std::size_t width = round_up(columns_of(panel), kSide);
    const std::size_t left = a_.k - depth * kPartBlock;
    return {panel_of(panel) + depth * kPartBlock * width, left < kPartBlock ? left : kPartBlock, width};
  }
  // A bit for each row that there is of a block.
  std::uint32_t rows_of(std::size_t block) const {
    const std::size_t left = task_.rows - block * kTwo;
    return left < kTwo ? (1u << left) - 1 : ~0u;
  }

  // To `sums`, at depth 0, or onto them.
  void multiply_rows(const WeightBlock& weights, std::size_t depth, const std::uint32_t* b, float* sums,
                     Beside& beside) const {
    float* const block = scratch_ + at_.block;
    for (std::size_t i = 0; i < row_blocks_; ++i, sums += kTwo * kTwo) {
      const std::size_t left = task_.rows - i * kTwo;
      const std::uint32_t* const a = a_.block(i) + depth * (kPartBlock / kDeep) * kStepWords;
      as_tiles(left, weights.width, [&]<bool TwoRows, bool TwoColumns>() {
        multiply_parts<TwoRows, TwoColumns>(weights.k / kDeep, a, {b, kSplitPart, kSplitStep},
                                            {depth > 0 ? block : sums, kTwo}, beside);
      });
      if (depth > 0)
        for (std::size_t j = 0; j < (left < kTwo ? left : kTwo) * kTwo; j += 2 * kWidth) {
          store(sums + j, load(sums + j) + load(block + j));
          store(sums + j + kWidth, load(sums + j + kWidth) + load(block + j + kWidth));
        }
    }
  }

  // Sums of what is not to be split, over those that the parts gave: some rows, or all of some panels.
  void multiply_plainly(std::size_t panel, float* sums) const {
    float* const whole = scratch_ + at_.whole;
    const std::size_t columns = columns_of(panel);
    alignas(64) float result[kTileRows * kTwo];
    for (std::size_t i = 0; i < row_blocks_; ++i) {
      std::uint32_t left = w_.plain[panel] ? rows_of(i) : plain()[i];
      while (left) {
        std::size_t rows[kTileRows], count = 0;
        for (; left && count < kTileRows; left &= left - 1, ++count) {
          rows[count] = static_cast<std::size_t>(__builtin_ctz(left));
          join_row(a_.block(i), rows[count], a_.k, whole + count * a_.k);
        }
        multiply_panel<F32>(count, w_.k, whole, a_.k, panel_of(panel), result, kTwo, columns, F32::block(w_.k));
        for (std::size_t r = 0; r < count; ++r)
          copy_block(1, columns, result + r * kTwo, kTwo, sums + (i * kTwo + rows[r]) * kTwo, kTwo);
      }
    }
  }

  const LinearTask& task_;
  const PanelMatrix& w_;
  PartRows a_;
  std::size_t row_blocks_, depth_;
  Scratch at_;
  float* scratch_;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
