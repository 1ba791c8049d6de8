// out = activation(x W^T + bias) + residual, panel by panel; the epilogue runs while the panel's results are in L1.
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// What turns the sums of a row into results.
struct Epilogue {
  const float* bias;            // [columns] or null
  const float* residual;        // [columns] or null
  const float* scales;          // [columns]; this and the next two for integer sums only
  const std::int32_t* offsets;  // [columns]
  float row_scale;
};

template <filbert_activation A, bool Integers>
inline void finish_row(std::size_t columns, const Epilogue& row, float* c) {
  for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
    Vec v;
    if constexpr (Integers)
      v = unshift(c + j, row.offsets + j, lanes) * (set(row.row_scale) * load_first(row.scales + j, lanes));
    else
      v = load_first(c + j, lanes);
    if (row.bias) v = v + load_first(row.bias + j, lanes);
    v = activate<A>(v);
    if (row.residual) v = v + load_first(row.residual + j, lanes);
    store_first(c + j, v, lanes);
  });
}

using FinishRow = void (*)(std::size_t, const Epilogue&, float*);

template <bool Integers>
inline FinishRow finish_row_of(filbert_activation activation) {
  switch (activation) {
    case FILBERT_GELU_ERF:
      return finish_row<FILBERT_GELU_ERF, Integers>;
    case FILBERT_GELU_TANH:
      return finish_row<FILBERT_GELU_TANH, Integers>;
    case FILBERT_GELU_ERF_CLIP:
      return finish_row<FILBERT_GELU_ERF_CLIP, Integers>;
    case FILBERT_QUICK_GELU:
      return finish_row<FILBERT_QUICK_GELU, Integers>;
    case FILBERT_RELU:
      return finish_row<FILBERT_RELU, Integers>;
    case FILBERT_RELU2:
      return finish_row<FILBERT_RELU2, Integers>;
    case FILBERT_RELU6:
      return finish_row<FILBERT_RELU6, Integers>;
    case FILBERT_SILU:
      return finish_row<FILBERT_SILU, Integers>;
    case FILBERT_TANH:
      return finish_row<FILBERT_TANH, Integers>;
    case FILBERT_SIGMOID:
      return finish_row<FILBERT_SIGMOID, Integers>;
    case FILBERT_LEAKY_RELU:
      return finish_row<FILBERT_LEAKY_RELU, Integers>;
    case FILBERT_MISH:
      return finish_row<FILBERT_MISH, Integers>;
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return finish_row<FILBERT_IDENTITY, Integers>;
}

// How a linear layer reads its rows: float32 where they lie, the others packed into scratch, a line more between rows
// so that they do not alias, and whole sixteens of them.
inline std::size_t packed_stride(std::size_t words) { return words + 16; }
inline std::size_t packed_words(std::size_t rows, std::size_t words) {
  return round_up(rows, 16) * packed_stride(words);
}

struct F32Rows {
  using Operand = F32;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, 1, 1, 0};
  static constexpr bool kIntegers = false;
  static std::size_t words(std::size_t k) { return k; }
  static std::size_t scratch(std::size_t, std::size_t) { return 0; }

  F32Rows(const float* x, std::size_t, std::size_t k, float*) : data(x), stride(k) {}
  float scale(std::size_t) const { return 1.0f; }
  const float* data;
  std::size_t stride;
};

template <typename T>
struct Bf16Rows {
  using Operand = T;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, kBf16Multiple, 2, 0};
  static constexpr bool kIntegers = false;
  static std::size_t words(std::size_t k) { return bf16_words(k); }
  static std::size_t scratch(std::size_t rows, std::size_t k) { return packed_words(rows, words(k)); }

  Bf16Rows(const float* x, std::size_t rows, std::size_t k, float* scratch)
      : data(reinterpret_cast<std::uint32_t*>(scratch)), stride(packed_stride(words(k))) {
    for (std::size_t r = 0; r < rows; ++r) pack_bf16_row(x + r * k, k, data + r * stride);
  }
  float scale(std::size_t) const { return 1.0f; }
  std::uint32_t* data;
  std::size_t stride;
};

template <typename T>
struct I8Rows {
  using Operand = T;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, T::kMultiple, T::kGroup, T::kZeroPoint};
  static constexpr bool kIntegers = true;
  static std::size_t words(std::size_t k) { return round_up(k, T::kMultiple) / T::kGroup; }
  static std::size_t scratch(std::size_t rows, std::size_t k) {
    return packed_words(rows, words(k)) + rows + k;  // the rows, their scales, one rotated row
  }

  I8Rows(const float* x, std::size_t rows, std::size_t k, float* scratch)
      : data(reinterpret_cast<std::uint32_t*>(scratch)),
        stride(packed_stride(words(k))),
        scales(scratch + packed_words(rows, words(k))) {
    for (std::size_t r = 0; r < rows; ++r) {
      auto* out = reinterpret_cast<typename T::Integer*>(data + r * stride);
      scales[r] = pack_i8_row<T>(x + r * k, k, words(k) * T::kGroup, scales + rows, out);
    }
  }
  float scale(std::size_t row) const { return scales[row]; }
  std::uint32_t* data;
  std::size_t stride;
  float* scales;
};

template <typename Rows>
inline void linear(const LinearTask& task, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                   std::size_t panel_end, float* scratch) {
  using T = typename Rows::Operand;
  const PackedMatrix& w = task.weight;
  const std::size_t rows = row_end - row_begin;
  const std::size_t words = Rows::words(w.k);
  const Rows a(task.x + row_begin * w.k, rows, w.k, scratch);
  const auto* panels = static_cast<const typename T::Cell*>(w.panels);
  const FinishRow finish = finish_row_of<Rows::kIntegers>(task.activation);
  for (std::size_t panel = panel_begin; panel < panel_end; ++panel) {
    const std::size_t column = panel * kPanelWidth;
    const std::size_t columns = panel_columns(w.n, panel);
    const auto from_column = [column](const auto* values) { return values ? values + column : nullptr; };
    float* c = task.out + row_begin * w.n + column;
    multiply_panel<T>(rows, words, a.data, a.stride, panels + column * words, c, w.n, columns);
    Epilogue epilogue = {from_column(task.bias), nullptr, from_column(w.scales), from_column(w.offsets), 0};
    for (std::size_t r = 0; r < rows; ++r) {
      if (task.residual) epilogue.residual = task.residual + (row_begin + r) * w.n + column;
      epilogue.row_scale = a.scale(r);
      finish(columns, epilogue, c + r * w.n);
    }
  }
}

template <typename Rows>
constexpr LinearKernel linear_kernel() {
  return {Rows::kFormat, Rows::scratch, linear<Rows>};
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
