// Linear layers of bfloat16 and int8 on tiles: panels of 32 columns, one after the other, in blocks of words that stay
// in L1 while all rows are streamed past them. Sums of 32 x 32 wait, one behind the other, from one block of words to
// the next: on top of themselves, so blocks do not change the order of a sum. For 32 rows and 192 words that is, beside
// 48 products, 48 tiles loaded and 4 sums loaded and stored.
#pragma once

#include "cpu/amx_beside.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

template <typename Rows>
class TiledLinear {
 public:
  static constexpr MatrixFormat kFormat = {kTwo, kSide, Rows::kFormat.k_multiple, Rows::kFormat.group,
                                           Rows::kFormat.zero_point};

  static std::size_t scratch(std::size_t rows, std::size_t k) {
    const std::size_t sums = 2 * round_up(rows, kTwo) * kTwo;
    return sums > Rows::pack_scratch(k) ? sums : Rows::pack_scratch(k);
  }

  TiledLinear(const LinearTask& task, float* sums)
      : task_(task),
        w_(task.weight),
        words_(Rows::words(w_.k)),
        a_(task),
        panels_(static_cast<const std::uint32_t*>(w_.panels)),
        sums_(sums) {
    finish_stores();
  }

  // Panels [begin, end), block of words by block of words; the next block comes to L2 meanwhile.
  void run(std::size_t begin, std::size_t end) const {
    const std::size_t length = round_up(count_blocks(words_, count_blocks(words_, kMostWords)), kSide);
    const std::size_t row_blocks = count_blocks(task_.rows, kTwo);
    PendingRows rows;
    for (std::size_t panel = begin; panel < end; ++panel) {
      const std::size_t left = w_.n - panel * kTwo;
      const std::size_t columns = left < kTwo ? left : kTwo;
      const std::size_t width = round_up(columns, kSide);
      float* const sums = sums_ + panel % 2 * row_blocks * kTwo * kTwo;
      for (std::size_t word = 0; word < words_; word += length) {
        const std::size_t words = words_ - word < length ? words_ - word : length;
        const std::uint32_t* const b = panels_ + panel * kTwo * words_ + word * width;
        const std::size_t steps = words / kSide * row_blocks;
        Beside beside = {Prefetcher(b + words * width, words * width * sizeof(*b), steps), rows};
        multiply_rows(word, words, b, columns, sums, beside);
      }
      rows.finish_all();
      rows = PendingRows(task_, a_, panel * kTwo, columns, sums, words_ / kSide * row_blocks);
    }
    rows.finish_all();
  }

 private:
  // Of rows and columns that go through the tiles at once, in equal blocks: 24 KB of a panel.
  static constexpr std::size_t kMostWords = 192;

  struct Beside {
    Prefetcher next;
    PendingRows& rows;
    void step() {
      next.step();
      rows.step();
    }
  };

  // All rows by words from `word` on of a panel, which are in b.
  void multiply_rows(std::size_t word, std::size_t words, const std::uint32_t* b, std::size_t columns, float* sums,
                     Beside& beside) const {
    for (std::size_t row = 0; row < task_.rows; row += kTwo, sums += kTwo * kTwo)
      multiply_block<typename Rows::Operand, true>(task_.rows - row, columns, words,
                                                   a_.data + row * words_ + word * kTwo, b, round_up(columns, kSide),
                                                   {word > 0 ? sums : nullptr, kTwo}, {sums, kTwo}, beside);
  }

  const LinearTask& task_;
  const PanelMatrix& w_;
  std::size_t words_;
  Rows a_;
  const std::uint32_t* panels_;
  float* sums_;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
