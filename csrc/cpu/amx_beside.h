// What goes on beside the tiles of a linear layer, a little with every step of theirs: vector instructions cost nothing
// there, and in a burst they, or what they wait for, would hold the tiles up.
#pragma once

#include "cpu/amx_impl.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// So many pieces of work, spread evenly over so many steps.
class Spread {
 public:
  Spread(std::size_t pieces, std::size_t steps) : pieces_(pieces), steps_(steps) {}
  // How many are due with the next step.
  std::size_t next() {
    std::size_t count = 0;
    for (due_ += pieces_; due_ >= steps_; due_ -= steps_) ++count;
    return count;
  }

 private:
  std::size_t pieces_, steps_;
  std::size_t due_ = 0;
};

// Rows of a panel whose sums are there, and which become results while the next panel is multiplied.
class PendingRows {
 public:
  PendingRows() : spread_(0, 1) {}
  // sums: rows of a panel's width. steps: of the next panel.
  template <typename Rows>
  PendingRows(const LinearTask& task, const Rows& a, std::size_t column, std::size_t columns, const float* sums,
              std::size_t steps)
      : next_(epilogue_of(task, a, column, sums, kTwo)),
        finish_(finish_of<Rows>(task.activation, task.gated)),
        columns_(columns),
        results_(task.gated ? (columns + 1) / 2 : columns),
        left_(task.rows),
        spread_(task.rows, steps) {}

  void step() {
    for (std::size_t count = spread_.next(); count > 0 && left_ > 0; --count) finish_one();
  }
  void finish_all() {
    while (left_ > 0) finish_one();
  }

 private:
  static constexpr std::size_t kAhead = 6;  // rows: lines that are written, or added, are rarely near

  void finish_one() {
    if (left_ > kAhead) fetch(kAhead);
    finish_(next_, 1, columns_);
    next_.sums += kTwo;
    if (next_.out) next_.out += next_.out_stride;
    if (next_.residual) next_.residual += next_.residual_stride;
    if (next_.row_scales) ++next_.row_scales;
    ++next_.row;
    --left_;
  }

  void fetch(std::size_t row) const {
    for (std::size_t j = 0; next_.heads.size && j < results_; j += 2 * kSide)
      __builtin_prefetch(next_.heads.at(next_.row + row, j).number, 1);
    for (std::size_t j = 0; j < results_; j += kSide) {
      if (next_.out) __builtin_prefetch(next_.out + row * next_.out_stride + j, 1);
      if (next_.residual) __builtin_prefetch(next_.residual + row * next_.residual_stride + j);
    }
  }

  Epilogue next_ = {};
  Finish finish_ = nullptr;
  std::size_t columns_ = 0, results_ = 0, left_ = 0;
  Spread spread_;
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
