// softmax(scale q k^T + bias) v for heads of one sequence that share their keys. K goes transposed and V as it is,
// into panels, then a few queries at a time: scores against the keys that they see, softmax in place, weighted
// sum. A query's result depends on its own row and on the keys from the first one on, never on the queries beside it.
#pragma once

#include "cpu/attention_relative_impl.h"
#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// panels of b[words, n] = source^T, source [n, words] with rows `stride` apart
inline void pack_transposed(const float* source, std::size_t stride, std::size_t n, std::size_t words, float* panels) {
  for (std::size_t panel = 0; panel * kPanelWidth < n; ++panel) {
    const std::size_t columns = panel_columns(n, panel);
    const std::size_t width = round_up(columns, kWidth);
    const float* rows = source + panel * kPanelWidth * stride;
    float* out = panels + panel * kPanelWidth * words;
    for (std::size_t j = 0; j < width; j += kWidth) {
      const std::size_t lanes = columns - j < kWidth ? columns - j : kWidth;
      std::size_t i = 0;
      for (; i + kWidth <= words; i += kWidth) {
        float* const to = out + i * width + j;
        if (lanes == kWidth) {
          transpose(rows + j * stride + i, stride, to, width);
        } else {
          float last[kWidth * kWidth] = {};
          for (std::size_t lane = 0; lane < lanes; ++lane)
            store(last + lane * kWidth, load(rows + (j + lane) * stride + i));
          transpose(last, kWidth, to, width);
        }
      }
      for (; i < words; ++i)
        for (std::size_t lane = 0; lane < kWidth; ++lane)
          out[i * width + j + lane] = lane < lanes ? rows[(j + lane) * stride + i] : 0.0f;
    }
  }
}

// How attention reads q, k, v and the softmax: float32 where they lie, K and V in panels.
struct F32Attention {
  using Operand = F32;
  using Number = float;
  static constexpr auto kPutHeads = nullptr;
  static constexpr std::size_t kQueries = 4 * kTileRows;
  static std::size_t words(std::size_t k) { return k; }
  // Of keys that are summed, where only some of all are seen.
  static std::size_t seen_block(std::size_t) { return kKeyBlock; }
  static std::size_t row_scratch(std::size_t, std::size_t) { return 0; }
  static std::size_t key_scratch(std::size_t, std::size_t) { return 0; }

  static const float* rows(const float* x, std::size_t&, std::size_t, std::size_t, float*) { return x; }
  static void pack_keys(const float* k, std::size_t stride, std::size_t keys, std::size_t d, float*, float* panels) {
    pack_transposed(k, stride, keys, d, panels);
  }
  static void pack_values(const float* v, std::size_t stride, std::size_t keys, std::size_t d, float* panels) {
    for (std::size_t panel = 0; panel * kPanelWidth < d; ++panel) {
      const std::size_t columns = panel_columns(d, panel);
      const std::size_t width = round_up(columns, kWidth);
      float* out = panels + panel * kPanelWidth * keys;
      for (std::size_t i = 0; i < keys; ++i)
        for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
          store(out + i * width + j, load_first(v + i * stride + panel * kPanelWidth + j, lanes));
        });
    }
  }
};

// All of them as bfloat16; q, k and v come so.
template <typename T, std::size_t Queries>
struct Bf16Attention {
  using Operand = T;
  using Number = std::uint16_t;
  static constexpr auto kPutHeads = put_heads;
  static constexpr std::size_t kQueries = Queries;
  static std::size_t words(std::size_t k) { return bf16_words(k); }
  static std::size_t seen_block(std::size_t words) { return words; }
  static std::size_t row_scratch(std::size_t rows, std::size_t k) { return T::Layout::size(rows, bf16_words(k)); }
  // Rows of K with zeros behind them, unless they are whole words as they come.
  static std::size_t key_scratch(std::size_t keys, std::size_t d) {
    return 2 * bf16_words(d) == d ? 0 : keys * bf16_words(d);
  }

  // Of queries, or of numerators of the softmax.
  template <typename N>
  static const std::uint32_t* rows(const N* x, std::size_t& stride, std::size_t count, std::size_t k, float* scratch) {
    auto* out = reinterpret_cast<std::uint32_t*>(scratch);
    pack_bf16_rows<T>(x, stride, 0, count, k, out);
    stride = T::Layout::stride(bf16_words(k));
    return out;
  }
  static void pack_keys(const Number* k, std::size_t stride, std::size_t keys, std::size_t d, float* scratch,
                        float* panels) {
    const std::size_t width = bf16_words(d);
    if (2 * width == d) return pack_transposed(reinterpret_cast<const float*>(k), stride / 2, keys, width, panels);
    for (std::size_t i = 0; i < keys; ++i)
      pack_bf16_row<RowMajor>(k + i * stride, d, kLine, reinterpret_cast<std::uint32_t*>(scratch) + i * width);
    pack_transposed(scratch, width, keys, width, panels);
  }
  static void pack_values(const Number* v, std::size_t stride, std::size_t keys, std::size_t d, float* panels) {
    const std::size_t count = bf16_words(keys);
    for (std::size_t panel = 0; panel * kPanelWidth < d; ++panel) {
      const std::size_t columns = panel_columns(d, panel);
      const std::size_t width = round_up(columns, kWidth);
      const Number* source = v + panel * kPanelWidth;
      auto* out = reinterpret_cast<std::uint32_t*>(panels) + panel * kPanelWidth * count;
      for (std::size_t i = 0; i < count; ++i, out += width) {
        const Number* low = source + 2 * i * stride;
        if (2 * i < keys)
          pair_bf16_rows<Number>(low, 2 * i + 1 < keys ? low + stride : nullptr, columns, out);
        else
          for (std::size_t j = 0; j < width; j += kWidth) store_words(out + j, set_words(0));
      }
    }
  }
};

// row = e^(scale (row - max)); returns the sum. `row` may be written up to a whole vector past its end.
inline float softmax_numerators(float* row, std::size_t n, float scale) {
  const std::size_t whole = n / kWidth * kWidth;
  const std::size_t left = n - whole;
  float top = row[0];
  Vec tops = set(top);
  for (std::size_t j = 0; j < whole; j += kWidth) tops = max(tops, load(row + j));
  top = reduce_max(tops);
  for (std::size_t j = whole; j < n; ++j) top = row[j] > top ? row[j] : top;
  // Subtracted before it is scaled: rounding scale * max would be more than an exponent where scores are beyond 10^9.
  const auto numerator = [&](Vec scores) { return exp((scores - set(top)) * set(scale)); };
  Vec sum = set(0.0f);
  for (std::size_t j = 0; j < whole; j += kWidth) {
    const Vec e = numerator(load(row + j));
    store(row + j, e);
    sum = sum + e;
  }
  if (left > 0) {
    const Vec e = keep_first(numerator(load_first(row + whole, left)), left);
    store(row + whole, e);
    sum = sum + e;
  }
  return reduce_add(sum);
}

inline void scale_row(const float* row, std::size_t n, float factor, float* out) {
  for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
    store_first(out + j, load_first(row + j, lanes) * set(factor), lanes);
  });
}

inline std::size_t score_stride(std::size_t keys) { return round_up(keys, kWidth) + 16; }  // rows do not alias

// The parts of the scratch, in floats.
template <typename A>
struct AttentionScratch {
  std::size_t keys, values, scores, rows;
  AttentionScratch(std::size_t count, std::size_t d)
      : keys(round_up(A::words(d) * round_up(count, kWidth), 16)),
        values(round_up(A::words(count) * round_up(d, kWidth), 16)),
        scores(round_up(A::kQueries * score_stride(count), 16)),
        rows(round_up(A::row_scratch(A::kQueries, count > d ? count : d), 16)) {
    // K is padded before there are scores and rows.
    const std::size_t padded = A::key_scratch(count, d);
    if (padded > scores + rows) rows = round_up(padded - scores, 16);
  }
  std::size_t total() const { return keys + values + scores + rows; }
};

template <typename A>
inline std::size_t attention_scratch(std::size_t keys, std::size_t head_size) {
  return AttentionScratch<A>(keys, head_size).total();
}

template <typename A>
inline const typename A::Number* row_of(const HeadRows& heads, std::size_t row, std::size_t head = 0) {
  return static_cast<const typename A::Number*>(heads.data) + row * heads.stride + head * heads.next_head;
}

// Of a task: keys [begin, end), in panels.
template <typename A>
class KeyPanels {
 public:
  using T = typename A::Operand;
  using Cell = typename T::Cell;

  KeyPanels(const AttentionTask& task, const KeyRange& range, const AttentionScratch<A>& sizes)
      : d_(task.head_size),
        range_(range),
        words_(A::words(range.end - range.begin)),
        block_(task.relative ? A::seen_block(words_) : T::block(words_)) {
    float* const keys = task.scratch;
    float* const values = keys + sizes.keys;
    const std::size_t count = range.end - range.begin;
    A::pack_keys(row_of<A>(task.k, range.begin), task.k.stride, count, d_, values + sizes.values, keys);
    A::pack_values(row_of<A>(task.v, range.begin), task.v.stride, count, d_, values);
    keys_ = reinterpret_cast<const Cell*>(keys);
    values_ = reinterpret_cast<const Cell*>(values);
  }

  // scores [rows, keys of `seen`] = q k^T, up to a whole vector, which is faster to store and for which rows have room.
  void score(const KeyRange& seen, std::size_t rows, const typename T::Word* q, std::size_t q_stride, float* scores,
             std::size_t stride) const {
    const Cell* const panels = keys_ + (seen.begin - range_.begin) * A::words(d_);
    const std::size_t columns = round_up(seen.end - seen.begin, kWidth);
    multiply<T>(rows, A::words(d_), q, q_stride, panels, columns, scores, stride);
  }

  // out [rows, head_size] = p v, p [rows, keys of `seen`]
  void weigh(const KeyRange& seen, std::size_t rows, const typename T::Word* p, std::size_t p_stride, float* out,
             std::size_t stride) const {
    const std::size_t first = A::words(seen.begin - range_.begin);
    const std::size_t words = A::words(seen.end - seen.begin);
    for (std::size_t panel = 0; panel * kPanelWidth < d_; ++panel) {
      const std::size_t column = panel * kPanelWidth;
      const std::size_t columns = panel_columns(d_, panel);
      const Cell* const rows_of = values_ + column * words_ + first * round_up(columns, kWidth);
      multiply_panel<T>(rows, words, p, p_stride, rows_of, out + column, stride, columns, block_);
    }
  }

 private:
  std::size_t d_;
  KeyRange range_;
  std::size_t words_, block_;  // of all values in their panels; of a sum over them
  const Cell* keys_;
  const Cell* values_;
};

// Scores of a query against the keys of `seen` become numerators of the softmax; returns their sum's inverse.
inline float soften(const AttentionTask& task, const float* bias, std::size_t query, const KeyRange& seen,
                    float* scores) {
  const std::size_t count = seen.end - seen.begin;
  if (!task.relative) return 1.0f / softmax_numerators(scores, count, task.scale);
  const KeyRange own = keys_of(task, query);
  if (own.begin >= own.end) {
    clear(scores, count);
    return 0.0f;
  }
  float* const row = scores + (own.begin - seen.begin);
  const std::size_t n = own.end - own.begin;
  if (bias) add_bias(row, n, task.scale, bias, task.reach, task.query_columns[query], task.key_columns + own.begin);
  const float sum = softmax_numerators(row, n, bias ? 1.0f : task.scale);
  clear(scores, own.begin - seen.begin);
  clear(row + n, seen.end - own.end);
  return 1.0f / sum;
}

// add_terms(query, rows, q, q_stride, scores, stride): to the scores of `rows` queries from `query` on, given as an
// operand, of all keys that the tile sees.
template <typename A, typename AddTerms>
inline void attend(const AttentionTask& task, const AddTerms& add_terms) {
  const std::size_t d = task.head_size;
  const KeyRange range = blocks_of(task, 0, task.queries - 1);
  const AttentionScratch<A> sizes(range.end - range.begin, d);
  float* const scores = task.scratch + sizes.keys + sizes.values;
  float* const operand = scores + sizes.scores;
  const std::size_t stride = score_stride(range.end - range.begin);
  const KeyPanels<A> keys(task, range, sizes);
  for (std::size_t head = 0; head < task.heads; ++head) {
    const float* const bias = task.bias ? task.bias + head * static_cast<std::size_t>(2 * task.reach + 1) : nullptr;
    for (std::size_t query = 0; query < task.queries; query += A::kQueries) {
      const std::size_t rows = task.queries - query < A::kQueries ? task.queries - query : A::kQueries;
      const KeyRange seen = blocks_of(task, query, query + rows - 1);
      const std::size_t count = seen.end - seen.begin;
      float* const out = task.out.data + query * task.out.stride + head * d;
      float inverse[A::kQueries];
      std::size_t q_stride = task.q.stride;
      const auto* q = A::rows(row_of<A>(task.q, query, head), q_stride, rows, d, operand);
      keys.score(seen, rows, q, q_stride, scores, stride);
      add_terms(query, rows, q, q_stride, scores, stride);
      for (std::size_t r = 0; r < rows; ++r) inverse[r] = soften(task, bias, query + r, seen, scores + r * stride);
      std::size_t p_stride = stride;
      const auto* p = A::rows(scores, p_stride, rows, count, operand);
      if (count > 0) keys.weigh(seen, rows, p, p_stride, out, task.out.stride);
      for (std::size_t r = 0; r < rows; ++r) {
        float* const row = out + r * task.out.stride;
        if (inverse[r] == 0.0f)
          clear(row, d);
        else
          scale_row(row, d, inverse[r], row);
        if (!task.probabilities) continue;
        float* const line =
            task.probabilities + head * task.probability_head_stride + (query + r) * task.probability_stride;
        clear(line, seen.begin);
        scale_row(scores + r * stride, count, inverse[r], line + seen.begin);
        clear(line + seen.end, task.keys - seen.end);
      }
    }
  }
}

template <typename A>
inline void attention(const AttentionTask& task) {
  attend<A>(task, [](const auto&...) {});
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
