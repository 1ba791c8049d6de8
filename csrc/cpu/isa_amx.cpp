#define FILBERT_ISA amx

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/amx_impl.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/attention_impl.h"
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {
namespace amx {
namespace {

using Attention = Bf16Attention<Bf16, 2 * kSide>;

// Words of a row and of a column that go through the tiles at once: 32 rows of them stay in L1.
constexpr std::size_t kWords = 192;
// Weights that go through the tiles at once: they stay in L2 for all rows of the share.
constexpr std::size_t kGroupBytes = std::size_t{1} << 19;

// Brings the next group of weights from L3 or memory into L2, a little with every block of sums.
class Prefetcher {
 public:
  Prefetcher(const void* begin, std::size_t bytes, std::size_t blocks)
      : next_(static_cast<const char*>(begin)), end_(next_ + bytes), step_(round_up(bytes / blocks + 1, 64)) {}
  void step() {
    const char* const stop = step_ < static_cast<std::size_t>(end_ - next_) ? next_ + step_ : end_;
    for (; next_ < stop; next_ += 64) _mm_prefetch(next_, _MM_HINT_T1);
  }

 private:
  const char* next_;
  const char* end_;
  std::size_t step_;
};

// Columns whose weights of `words` words go through the tiles together.
std::size_t group_columns(std::size_t words) {
  const std::size_t panel_bytes = kPanelWidth * words * sizeof(std::uint32_t);
  return (panel_bytes > kGroupBytes ? 1 : kGroupBytes / panel_bytes) * kPanelWidth;
}

// Sums of 32 x 32 wait, one behind the other, from one block of words to the next.
template <typename Rows>
class TiledLinear {
 public:
  static std::size_t scratch(std::size_t rows, std::size_t k) {
    const std::size_t words = Rows::words(k);
    return words > kWords ? round_up(rows, kTwo) * group_columns(words) : 0;
  }

  TiledLinear(const LinearTask& task, float* sums)
      : task_(task),
        w_(task.weight),
        words_(Rows::words(w_.k)),
        a_(task),
        panels_(static_cast<const std::uint32_t*>(w_.panels)),
        sums_(sums) {
    __asm__ volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
  }

  // Columns [begin, end), whose weights go group by group through L2.
  void run(std::size_t begin, std::size_t end) const {
    const std::size_t group = group_columns(words_);
    for (; begin < end; begin += group) {
      const std::size_t stop = begin + group < end ? begin + group : end;
      const std::size_t next = stop + group < end ? group : end - stop;
      const std::size_t blocks =
          blocks_of(words_, kWords) * blocks_of(task_.rows, kTwo) * blocks_of(stop - begin, kTwo);
      Prefetcher prefetcher(panels_ + stop * words_, next * words_ * sizeof(*panels_), blocks);
      run_group(begin, stop, prefetcher);
    }
  }

 private:
  static std::size_t blocks_of(std::size_t n, std::size_t size) { return (n + size - 1) / size; }

  // Blocks of words, 32 rows, 32 columns.
  void run_group(std::size_t begin, std::size_t end, Prefetcher& prefetcher) const {
    for (std::size_t word = 0; word < words_; word += kWords) {
      float* sums = sums_;
      for (std::size_t row = 0; row < task_.rows; row += kTwo)
        for (std::size_t column = begin; column < end; column += kTwo, sums += kTwo * kTwo) {
          prefetcher.step();
          const std::size_t height = task_.rows - row < kTwo ? task_.rows - row : kTwo;
          const std::size_t breadth = end - column < kTwo ? end - column : kTwo;
          run_block(word, row, height, column, breadth, sums);
        }
    }
  }

  void run_block(std::size_t word, std::size_t row, std::size_t rows, std::size_t column, std::size_t columns,
                 float* sums) const {
    using T = typename Rows::Operand;
    const std::size_t words = words_ - word < kWords ? words_ - word : kWords;
    const std::size_t panel = column / kPanelWidth;
    const std::size_t width = round_up(panel_columns(w_.n, panel), kSide);
    const std::uint32_t* const a = a_.data + row * words_ + word * kTwo;
    const std::uint32_t* const b = panels_ + panel * kPanelWidth * words_ + word * width + column % kPanelWidth;
    const Block from = word > 0 ? Block{sums, kTwo} : Block{};
    if (word + words < words_) return multiply_block<T>(rows, columns, words, a, b, width, from, {sums, kTwo});
    alignas(64) float block[kTwo * kTwo];
    multiply_block<T>(rows, columns, words, a, b, width, from, {block, kTwo});
    finish_rows(task_, a_, row, rows, column, columns, block, kTwo);
  }

  const LinearTask& task_;
  const PackedMatrix& w_;
  std::size_t words_;
  Rows a_;
  const std::uint32_t* panels_;
  float* sums_;
};

template <typename Rows>
void linear_on_tiles(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float* scratch) {
  const TileScope tiles;
  const std::size_t end = panel_end * kPanelWidth < task.weight.n ? panel_end * kPanelWidth : task.weight.n;
  TiledLinear<Rows>(task, scratch).run(panel_begin * kPanelWidth, end);
}

void attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention<Attention>(task);
}

template <typename Rows>
constexpr LinearKernel kernel() {
  return {
      .format = Rows::kFormat,
      .share_rows = 192,
      .row_grain = kTwo,
      .packs_results = Rows::kPacksResults,
      .operand = Rows::operand,
      .pack = Rows::kPack,
      .scratch = TiledLinear<Rows>::scratch,
      .run = linear_on_tiles<Rows>,
  };
}

}  // namespace
}  // namespace amx

LinearKernel amx_i8_kernels() { return amx::kernel<amx::I8Rows<amx::I8>>(); }

Bf16Kernels amx_bf16_kernels() {
  return {amx::kernel<amx::Bf16Rows<amx::Bf16>>(), {amx::attention_scratch<amx::Attention>, amx::attention_on_tiles}};
}

}  // namespace filbert::cpu
