// c = a b with b in panels (kernels.h). Tiles of kTileRows rows by one panel keep their sums in registers; a
// tile is a few rows of `a` (broadcast one word at a time) against a panel that streams from L2. An operand type says
// what a word is: a float, two bfloat16, or two or four integers, and in how many parts, one after the other, it is
// multiplied and added. Every sum runs over k in order, float32 in blocks of k_block(k), so a result does not depend on
// the tile it was computed in.
#pragma once

#include "cpu/kernels.h"

// Sums stay in registers only if the loops over them are gone before register allocation.
#define FILBERT_UNROLL _Pragma("GCC unroll 16")

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline constexpr std::size_t kPanelWidth = kVectorsPerPanel * kWidth;

inline std::size_t panel_columns(std::size_t n, std::size_t panel) {
  const std::size_t left = n - panel * kPanelWidth;
  return left < kPanelWidth ? left : kPanelWidth;
}

template <typename F>
inline void for_each_vector(std::size_t n, F&& body) {
  std::size_t j = 0;
  for (; j + kWidth <= n; j += kWidth) body(j, kWidth);
  if (j < n) body(j, n - j);
}

struct F32 {
  using Word = float;
  using Cell = float;  // what a panel holds for one word and column
  static constexpr std::size_t kParts = 1;
  static Vec column(const Cell* b, std::size_t) { return load(b); }
  static Vec broadcast(const Word& a, std::size_t) { return set(a); }
  static Vec dot(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }
  static std::size_t block(std::size_t words) { return k_block(words); }
};

// Brings what is needed next from L3 or memory into L2, a little with every step of a loop: many lines at a time would
// be in the way of the loop's own loads. May go on past the end, where nothing is read.
class Prefetcher {
 public:
  Prefetcher(const void* begin, std::size_t bytes, std::size_t steps)
      : line_(static_cast<const char*>(begin)),
        end_(line_),
        step_(steps > 0 ? (bytes + steps - 1) / steps : 0),
        steps_of_line_(step_ > 0 && step_ < 64 ? 64 / step_ : 1) {}
  // How many steps bring one line, or 1 if one step brings more.
  std::size_t steps_of_line() const { return steps_of_line_; }
  void step(std::size_t count = 1) {
    end_ += count * step_;
    for (; line_ < end_; line_ += 64) prefetch(line_);
  }
  // For who does the steps himself: where they begin, and how many bytes each brings.
  const char* begin() const { return end_; }
  std::size_t bytes_of_step() const { return step_; }
  void skip(std::size_t count) { line_ = end_ += count * step_; }

 private:
  const char* line_;
  const char* end_;
  std::size_t step_, steps_of_line_;
};

// The loop of a tile in steps of words.
struct TileSteps {
  std::size_t count;
  const void* a;
  std::size_t lda;  // in bytes
  const void* b;
  const char* next;   // is prefetched, a line at a time,
  std::size_t bytes;  // so far from one to the next
};

// A loop in assembly for tiles of a whole panel, where there is one: sums [rows, vectors] of steps of kWords, with a
// prefetch each or for each word.
template <typename T>
struct TileLoop {
  static constexpr bool kExists = false;
};

// How many words it did, with their sums.
template <typename T, std::size_t Rows, std::size_t Vectors>
inline std::size_t run_loop(std::size_t words, const typename T::Word* a, std::size_t lda, const typename T::Cell* b,
                            Prefetcher& next, Vec (&sum)[Rows][Vectors]) {
  if constexpr (TileLoop<T>::kExists && Vectors == kVectorsPerPanel) {
    constexpr std::size_t kWords = TileLoop<T>::kWords;
    const std::size_t count = words / kWords;
    const std::size_t bytes = next.bytes_of_step();
    if (count > 0) {
      Vec found[kTileRows * Vectors];
      TileSteps steps = {count, a, lda * sizeof(*a), b, next.begin(), bytes};
      if (kWords * bytes > 64) {
        TileLoop<T>::template run<Rows, kWords>(steps, found);
      } else {
        steps.bytes *= kWords;
        TileLoop<T>::template run<Rows, 1>(steps, found);
      }
      next.skip(count * kWords);
      FILBERT_UNROLL
      for (std::size_t r = 0; r < Rows; ++r) FILBERT_UNROLL
      for (std::size_t j = 0; j < Vectors; ++j) sum[r][j] = found[r * Vectors + j];
      return count * kWords;
    }
  }
  FILBERT_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) FILBERT_UNROLL
  for (std::size_t j = 0; j < Vectors; ++j) sum[r][j] = set(0.0f);
  return 0;
}

template <typename T, std::size_t Rows, std::size_t Vectors>
inline void tile(std::size_t words, const typename T::Word* a, std::size_t lda, const typename T::Cell* b,
                 bool accumulate, float* c, std::size_t ldc, std::size_t columns, Prefetcher& after) {
  Prefetcher next = after;  // in registers
  Vec sum[Rows][Vectors];
  std::size_t i = run_loop<T>(words, a, lda, b, next, sum);
  b += i * Vectors * kWidth;
  // Where another thread has its share of the core, each instruction beside the products costs: a step now and then.
  const std::size_t words_of_line = next.steps_of_line();
  while (i < words) {
    const std::size_t end = i + words_of_line < words ? i + words_of_line : words;
    next.step(end - i);
    for (; i < end; ++i, b += Vectors * kWidth) {
      FILBERT_UNROLL
      for (std::size_t part = 0; part < T::kParts; ++part) {
        if (part > 0) __asm__ volatile("" : : : "memory");  // loads of the next part wait until there are registers
        decltype(T::column(b, part)) column[Vectors];
        FILBERT_UNROLL
        for (std::size_t j = 0; j < Vectors; ++j) column[j] = T::column(b + j * kWidth, part);
        FILBERT_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
          const auto x = T::broadcast(a[r * lda + i], part);
          FILBERT_UNROLL
          for (std::size_t j = 0; j < Vectors; ++j) sum[r][j] = T::dot(x, column[j], sum[r][j]);
        }
      }
    }
  }
  after = next;
  const std::size_t last = columns - (Vectors - 1) * kWidth;
  FILBERT_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) {
    float* row = c + r * ldc;
    FILBERT_UNROLL
    for (std::size_t j = 0; j + 1 < Vectors; ++j) {
      const Vec total = sum[r][j];
      store(row + j * kWidth, accumulate ? load(row + j * kWidth) + total : total);
    }
    float* end = row + (Vectors - 1) * kWidth;
    const Vec total = sum[r][Vectors - 1];
    store_first(end, accumulate ? load_first(end, last) + total : total, last);
  }
}

// tile<rows, Vectors>, for rows in 1..Most
template <typename T, std::size_t Most, std::size_t Vectors>
inline void tile_of(std::size_t rows, std::size_t words, const typename T::Word* a, std::size_t lda,
                    const typename T::Cell* b, bool accumulate, float* c, std::size_t ldc, std::size_t columns,
                    Prefetcher& next) {
  if constexpr (Most > 1)
    if (rows < Most) return tile_of<T, Most - 1, Vectors>(rows, words, a, lda, b, accumulate, c, ldc, columns, next);
  tile<T, Most, Vectors>(words, a, lda, b, accumulate, c, ldc, columns, next);
}

// What is at `after` is needed next.
template <typename T, std::size_t Vectors>
inline void tile_rows(std::size_t rows, std::size_t words, const typename T::Word* a, std::size_t lda,
                      const typename T::Cell* b, const typename T::Cell* after, bool accumulate, float* c,
                      std::size_t ldc, std::size_t columns) {
  std::size_t tiles = (rows + kTileRows - 1) / kTileRows;
  Prefetcher next(after, words * Vectors * kWidth * sizeof(*b), tiles * words);
  for (; tiles > 0; --tiles) {
    const std::size_t height = (rows + tiles - 1) / tiles;  // 16 rows: 8 and 8, not 14 and 2
    tile_of<T, kTileRows, Vectors>(height, words, a, lda, b, accumulate, c, ldc, columns, next);
    a += height * lda;
    c += height * ldc;
    rows -= height;
  }
}

// tile_rows<vectors>, for vectors in 1..Most
template <typename T, std::size_t Most>
inline void tile_vectors(std::size_t vectors, std::size_t rows, std::size_t words, const typename T::Word* a,
                         std::size_t lda, const typename T::Cell* b, const typename T::Cell* after, bool accumulate,
                         float* c, std::size_t ldc, std::size_t columns) {
  if constexpr (Most > 1)
    if (vectors < Most)
      return tile_vectors<T, Most - 1>(vectors, rows, words, a, lda, b, after, accumulate, c, ldc, columns);
  tile_rows<T, Most>(rows, words, a, lda, b, after, accumulate, c, ldc, columns);
}

// c[rows, columns of the panel] = a[rows, words] b[words, panel]; int32 sums of integer operands, as they are. Sums are
// taken in blocks of so many words, on top of c if `accumulate`. What is at `after` is needed next.
template <typename T>
inline void multiply_blocks(std::size_t rows, std::size_t words, const typename T::Word* a, std::size_t lda,
                            const typename T::Cell* panel, const typename T::Cell* after, float* c, std::size_t ldc,
                            std::size_t columns, std::size_t block, bool accumulate) {
  const std::size_t width = round_up(columns, kWidth);
  for (std::size_t begin = 0; begin < words; begin += block) {
    const std::size_t end = begin + block < words ? begin + block : words;
    tile_vectors<T, kVectorsPerPanel>(width / kWidth, rows, end - begin, a + begin, lda, panel + begin * width,
                                      end < words ? panel + end * width : after, accumulate || begin > 0, c, ldc,
                                      columns);
  }
}

// The same from zero, and what follows the panel is needed next.
template <typename T>
inline void multiply_panel(std::size_t rows, std::size_t words, const typename T::Word* a, std::size_t lda,
                           const typename T::Cell* panel, float* c, std::size_t ldc, std::size_t columns,
                           std::size_t block) {
  const typename T::Cell* const after = panel + words * round_up(columns, kWidth);
  multiply_blocks<T>(rows, words, a, lda, panel, after, c, ldc, columns, block, false);
}

// c[rows, n] = a[rows, words] b[words, n].
template <typename T>
inline void multiply(std::size_t rows, std::size_t words, const typename T::Word* a, std::size_t lda,
                     const typename T::Cell* panels, std::size_t n, float* c, std::size_t ldc) {
  for (std::size_t panel = 0; panel * kPanelWidth < n; ++panel) {
    const std::size_t column = panel * kPanelWidth;
    multiply_panel<T>(rows, words, a, lda, panels + column * words, c + column, ldc, panel_columns(n, panel),
                      T::block(words));
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
