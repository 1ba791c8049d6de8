#define FILBERT_ISA amx

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/amx_impl.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/disentangled_impl.h"
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {
namespace amx {
namespace {

using Attention = Bf16Attention<Bf16, 2 * kSide>;

// Words of rows and columns that go through the tiles at once: a panel of them and 32 rows stay in L1. In equal blocks.
constexpr std::size_t kMostWords = 96;

std::size_t blocks_of(std::size_t n, std::size_t size) { return (n + size - 1) / size; }
std::size_t block_words(std::size_t words) { return round_up(blocks_of(words, blocks_of(words, kMostWords)), kSide); }

// Sums of 32 x 32 wait, one behind the other, from one block of words to the next.
template <typename Rows>
class TiledLinear {
 public:
  static std::size_t scratch(std::size_t rows, std::size_t k, bool) {
    const std::size_t sums = Rows::words(k) > kMostWords ? round_up(rows, kTwo) * kPanelWidth : 0;
    return sums > Rows::pack_scratch(k) ? sums : Rows::pack_scratch(k);
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

  // Panels [begin, end), block of words by block of words; the next one comes to L2 meanwhile.
  void run(std::size_t begin, std::size_t end) const {
    const std::size_t length = block_words(words_);
    for (std::size_t panel = begin; panel < end; ++panel) {
      const std::size_t columns = panel_columns(w_.n, panel);
      const std::size_t width = round_up(columns, kSide);
      for (std::size_t word = 0; word < words_; word += length) {
        const std::size_t words = words_ - word < length ? words_ - word : length;
        const std::uint32_t* const b = panels_ + panel * kPanelWidth * words_ + word * width;
        const std::size_t steps = words / kSide * blocks_of(task_.rows, kTwo) * blocks_of(columns, kTwo);
        Prefetcher next(b + words * width, words * width * sizeof(*b), steps);
        run_rows(word, words, panel * kPanelWidth, columns, b, width, next);
      }
    }
  }

 private:
  // `columns` columns from `first` on, whose words from `word` on are in b.
  void run_rows(std::size_t word, std::size_t words, std::size_t first, std::size_t columns, const std::uint32_t* b,
                std::size_t width, Prefetcher& next) const {
    using T = typename Rows::Operand;
    float* sums = sums_;
    for (std::size_t row = 0; row < task_.rows; row += kTwo)
      for (std::size_t column = 0; column < columns; column += kTwo, sums += kTwo * kTwo) {
        const std::size_t height = task_.rows - row < kTwo ? task_.rows - row : kTwo;
        const std::size_t breadth = columns - column < kTwo ? columns - column : kTwo;
        const std::uint32_t* const a = a_.data + row * words_ + word * kTwo;
        const Block from = word > 0 ? Block{sums, kTwo} : Block{};
        if (word + words < words_) {
          multiply_block<T>(height, breadth, words, a, b + column, width, from, {sums, kTwo}, next);
          continue;
        }
        alignas(64) float block[kTwo * kTwo];
        multiply_block<T>(height, breadth, words, a, b + column, width, from, {block, kTwo}, next);
        finish_rows(task_, a_, row, height, first + column, breadth, block, kTwo);
      }
  }

  const LinearTask& task_;
  const PanelMatrix& w_;
  std::size_t words_;
  Rows a_;
  const std::uint32_t* panels_;
  float* sums_;
};

template <typename Rows>
void linear_on_tiles(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float* scratch) {
  const TileScope tiles;
  TiledLinear<Rows>(task, scratch).run(panel_begin, panel_end);
}

void attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention<Attention>(task);
}

void disentangled_on_tiles(const DisentangledTask& task) {
  const TileScope tiles;
  disentangled<Attention>(task);
}

template <typename Rows>
constexpr LinearKernel kernel() {
  return {
      .format = Rows::kFormat,
      .share_rows = 192,
      .row_grain = kTwo,
      .gives_operands = Rows::kGivesOperands,
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
  return {amx::kernel<amx::Bf16Rows<amx::Bf16>>(),
          {amx::attention_scratch<amx::Attention>, amx::attention_on_tiles, amx::disentangled_scratch<amx::Attention>,
           amx::disentangled_on_tiles}};
}

}  // namespace filbert::cpu
