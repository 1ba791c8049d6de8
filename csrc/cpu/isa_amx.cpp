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

// Groups of panels, blocks of words, 32 rows, 32 columns. Sums wait in `out` from one block of words to the next.
template <typename Rows>
void linear_on_tiles(const LinearTask& task, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                     std::size_t panel_end, float* scratch) {
  using T = typename Rows::Operand;
  const TileScope tiles;
  const PackedMatrix& w = task.weight;
  const std::size_t rows = row_end - row_begin;
  const std::size_t words = Rows::words(w.k);
  const Rows a(task.x + row_begin * w.k, rows, w, scratch);
  const auto* panels = static_cast<const std::uint32_t*>(w.panels);
  const std::size_t panel_bytes = kPanelWidth * words * sizeof(*panels);
  const std::size_t group = panel_bytes > kGroupBytes ? 1 : kGroupBytes / panel_bytes;
  const std::size_t end_column = panel_end * kPanelWidth < w.n ? panel_end * kPanelWidth : w.n;
  __asm__ volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
  for (std::size_t begin = panel_begin * kPanelWidth; begin < end_column; begin += group * kPanelWidth) {
    const std::size_t end = begin + group * kPanelWidth < end_column ? begin + group * kPanelWidth : end_column;
    const std::size_t next_end = end + group * kPanelWidth < end_column ? end + group * kPanelWidth : end_column;
    const std::size_t blocks =
        ((words + kWords - 1) / kWords) * ((rows + kTwo - 1) / kTwo) * ((end - begin) / kTwo + 1);
    Prefetcher prefetcher(panels + end * words, (next_end - end) * words * sizeof(*panels), blocks);
    for (std::size_t word = 0; word < words; word += kWords) {
      const std::size_t count = words - word < kWords ? words - word : kWords;
      const bool last = word + count == words;
      for (std::size_t row = 0; row < rows; row += kTwo) {
        const std::size_t height = rows - row < kTwo ? rows - row : kTwo;
        const std::uint32_t* const x = a.data + row * words + word * kTwo;
        for (std::size_t column = begin; column < end; column += kTwo) {
          prefetcher.step();
          const std::size_t breadth = end - column < kTwo ? end - column : kTwo;
          const std::size_t panel = column / kPanelWidth;
          const std::size_t width = round_up(panel_columns(w.n, panel), kSide);
          const std::uint32_t* const b =
              panels + panel * kPanelWidth * words + word * width + (column - panel * kPanelWidth);
          float* const out = task.out + (row_begin + row) * w.n + column;
          alignas(64) float block[kTwo * kTwo];
          const bool whole = height % kSide == 0 && breadth % kSide == 0;
          const Block sums = whole ? Block{out, w.n} : Block{block, kTwo};
          if (!whole && word > 0) copy_block(height, breadth, out, w.n, block, kTwo);
          const Block from = word > 0 ? sums : Block{};
          if (last) {
            multiply_block<T>(height, breadth, count, x, b, width, from, {block, kTwo});
            finish_rows(task, a, row_begin, row, height, column, breadth, block, kTwo);
          } else {
            multiply_block<T>(height, breadth, count, x, b, width, from, sums);
            if (!whole) copy_block(height, breadth, block, kTwo, out, w.n);
          }
        }
      }
    }
  }
}

void attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention<Attention>(task);
}

template <typename Rows>
constexpr LinearKernel kernel() {
  return {Rows::kFormat, 192, kTwo, Rows::scratch, linear_on_tiles<Rows>};
}

}  // namespace
}  // namespace amx

LinearKernel amx_i8_kernels() { return amx::kernel<amx::I8Rows<amx::I8>>(); }

Bf16Kernels amx_bf16_kernels() {
  return {amx::kernel<amx::Bf16Rows<amx::Bf16>>(), {amx::attention_scratch<amx::Attention>, amx::attention_on_tiles}};
}

}  // namespace filbert::cpu
