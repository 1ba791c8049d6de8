// softmax(scale q k^T) v for one head of one sequence. K is packed transposed and V as it is, both into panels, then
// six queries at a time: scores against all keys, softmax in place, weighted sum. A query's result depends on its own
// row and on the keys from the first one on, never on the queries beside it.
#pragma once

#include "cpu/kernels.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// panels of b[k, n] = source^T, source [n, k] with rows `stride` apart
inline void pack_transposed(const float* source, std::size_t stride, std::size_t n, std::size_t k, float* panels) {
  for (std::size_t panel = 0; panel * kPanelWidth < n; ++panel) {
    const std::size_t columns = panel_columns(n, panel);
    const std::size_t width = round_up(columns, kWidth);
    float* out = panels + panel * kPanelWidth * k;
    const float* rows = source + panel * kPanelWidth * stride;
    for (std::size_t i = 0; i < k; ++i, out += width) {
      for (std::size_t j = 0; j < columns; ++j) out[j] = rows[j * stride + i];
      for (std::size_t j = columns; j < width; ++j) out[j] = 0.0f;
    }
  }
}

// panels of b[k, n] = source [k, n] with rows `stride` apart
inline void pack_rows(const float* source, std::size_t stride, std::size_t n, std::size_t k, float* panels) {
  for (std::size_t panel = 0; panel * kPanelWidth < n; ++panel) {
    const std::size_t columns = panel_columns(n, panel);
    float* out = panels + panel * kPanelWidth * k;
    for (std::size_t i = 0; i < k; ++i) {
      const float* row = source + i * stride + panel * kPanelWidth;
      std::size_t j = 0;
      for (; j + kWidth <= columns; j += kWidth, out += kWidth) store(out, load(row + j));
      if (j < columns) {
        store(out, load_first(row + j, columns - j));
        out += kWidth;
      }
    }
  }
}

// row = e^(scale (row - max)); returns the sum. `row` may be written up to a whole vector past its end.
inline float softmax_numerators(float* row, std::size_t n, float scale) {
  const std::size_t whole = n / kWidth * kWidth;
  const std::size_t left = n - whole;
  float top = row[0];
  Vec tops = set(top);
  for (std::size_t j = 0; j < whole; j += kWidth) tops = max(tops, load(row + j));
  top = reduce_max(tops);
  for (std::size_t j = whole; j < n; ++j) top = row[j] > top ? row[j] : top;
  const Vec offset = set(-scale * top);
  Vec sum = set(0.0f);
  for (std::size_t j = 0; j < whole; j += kWidth) {
    const Vec e = exp(fma(load(row + j), set(scale), offset));
    store(row + j, e);
    sum = sum + e;
  }
  if (left > 0) {
    const Vec e = keep_first(exp(fma(load_first(row + whole, left), set(scale), offset)), left);
    store(row + whole, e);
    sum = sum + e;
  }
  return reduce_add(sum);
}

inline std::size_t score_stride(std::size_t keys) { return round_up(keys, kWidth) + kWidth; }  // rows do not alias

inline std::size_t attention_scratch(std::size_t keys, std::size_t head_size) {
  return round_up(head_size * round_up(keys, kWidth), 16) + round_up(keys * round_up(head_size, kWidth), 16) +
         kTileRows * score_stride(keys);
}

inline void scale_row(float* row, std::size_t n, float factor, float* out) {
  for (std::size_t j = 0; j < n; ++j) out[j] = row[j] * factor;
}

inline void attention(const AttentionTask& task) {
  const std::size_t d = task.head_size;
  float* keys = task.scratch;
  float* values = keys + round_up(d * round_up(task.keys, kWidth), 16);
  float* scores = values + round_up(task.keys * round_up(d, kWidth), 16);
  const std::size_t stride = score_stride(task.keys);
  pack_transposed(task.k, task.stride, task.keys, d, keys);
  pack_rows(task.v, task.stride, d, task.keys, values);
  for (std::size_t query = 0; query < task.queries; query += kTileRows) {
    const std::size_t rows = task.queries - query < kTileRows ? task.queries - query : kTileRows;
    float* out = task.out + query * task.out_stride;
    float inverse[kTileRows];
    multiply(rows, d, task.q + query * task.stride, task.stride, keys, task.keys, scores, stride);
    for (std::size_t r = 0; r < rows; ++r)
      inverse[r] = 1.0f / softmax_numerators(scores + r * stride, task.keys, task.scale);
    multiply(rows, task.keys, scores, stride, values, d, out, task.out_stride);
    for (std::size_t r = 0; r < rows; ++r) {
      scale_row(out + r * task.out_stride, d, inverse[r], out + r * task.out_stride);
      if (task.probabilities)
        scale_row(scores + r * stride, task.keys, inverse[r],
                  task.probabilities + (query + r) * task.probability_stride);
    }
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
