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

  static std::size_t sums(std::size_t rows, std::size_t n) { return round_up(rows, kTwo) * round_up(n, kTwo); }

  TiledLinear(const LinearTask& task, float* sums)
      : task_(task),
        w_(task.weight),
        all_(Rows::words(w_.k)),
        first_(Rows::words(task.k_begin)),
        words_(Rows::words(task.k_end) - first_),
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
      const std::size_t columns = columns_of(panel);
      const std::size_t width = round_up(columns, kSide);
      const std::size_t size = row_blocks * kTwo * kTwo;
      float* const sums = task_.sums ? task_.sums + panel * size : sums_ + panel % 2 * size;
      for (std::size_t word = 0; word < words_; word += length) {
        const std::size_t words = words_ - word < length ? words_ - word : length;
        const std::uint32_t* const b = block_of(panel, word);
        const std::uint32_t* const next =
            word + words < words_ ? block_of(panel, word + words) : block_of(panel + 1, 0);
        Beside beside = {Prefetcher(next, words * width * sizeof(*b), words / kSide * row_blocks), rows};
        multiply_rows(word, words, b, columns, sums, beside);
      }
      rows.finish_all();
      if (first_ + words_ < all_) continue;
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

  std::size_t columns_of(std::size_t panel) const {
    const std::size_t left = w_.n - panel * kTwo;
    return left < kTwo ? left : kTwo;
  }
  // Of a panel, the words of the slice from `word` on.
  const std::uint32_t* block_of(std::size_t panel, std::size_t word) const {
    return panels_ + panel * kTwo * all_ + (first_ + word) * round_up(columns_of(panel), kSide);
  }

  // All rows by words from `word` on of a panel, which are in b.
  void multiply_rows(std::size_t word, std::size_t words, const std::uint32_t* b, std::size_t columns, float* sums,
                     Beside& beside) const {
    for (std::size_t row = 0; row < task_.rows; row += kTwo, sums += kTwo * kTwo)
      multiply_block<typename Rows::Operand, true>(task_.rows - row, columns, words,
                                                   a_.data + row * words_ + word * kTwo, b, round_up(columns, kSide),
                                                   {first_ + word > 0 ? sums : nullptr, kTwo}, {sums, kTwo}, beside);
  }

  const LinearTask& task_;
  const PanelMatrix& w_;
  std::size_t all_, first_, words_;  // words of k; before the slice; in it
  Rows a_;
  const std::uint32_t* panels_;
  float* sums_;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
