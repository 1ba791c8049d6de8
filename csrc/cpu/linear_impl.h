// out = activation(x W^T + bias) + residual, panel by panel; the epilogue runs while the panel's results are in L1.
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Sums of some rows and columns, and what turns them into results. May be in place.
struct Epilogue {
  const float* sums;  // [rows, columns], rows `sum_stride` apart
  std::size_t sum_stride;
  const float* bias;            // [columns] or null
  const float* residual;        // [rows, columns] or null, rows `stride` apart
  const float* row_scales;      // [rows]; this and the next two for integer sums only
  const float* scales;          // [columns]
  const std::int32_t* offsets;  // [columns]
  float* out;                   // [rows, columns], rows `stride` apart
  std::size_t stride;
};

template <filbert_activation A, typename Rows>
inline void finish(const Epilogue& e, std::size_t rows, std::size_t columns) {
  for_each_vector(columns, [&](std::size_t j, std::size_t lanes) {
    const Vec bias = e.bias ? load_first(e.bias + j, lanes) : set(0.0f);
    const Vec scale = Rows::kIntegers ? load_first(e.scales + j, lanes) : set(1.0f);
    for (std::size_t r = 0; r < rows; ++r) {
      Vec v;
      if constexpr (Rows::kIntegers)
        v = unshift(e.sums + r * e.sum_stride + j, e.offsets + j, lanes) * (set(e.row_scales[r]) * scale);
      else
        v = load_first(e.sums + r * e.sum_stride + j, lanes);
      v = activate<A, Rows::kShort>(v + bias);
      if (e.residual) v = v + load_first(e.residual + r * e.stride + j, lanes);
      store_first(e.out + r * e.stride + j, v, lanes);
    }
  });
}

using Finish = void (*)(const Epilogue&, std::size_t rows, std::size_t columns);

template <typename Rows>
inline Finish finish_of(filbert_activation activation) {
  switch (activation) {
    case FILBERT_GELU_ERF:
      return finish<FILBERT_GELU_ERF, Rows>;
    case FILBERT_GELU_TANH:
      return finish<FILBERT_GELU_TANH, Rows>;
    case FILBERT_GELU_ERF_CLIP:
      return finish<FILBERT_GELU_ERF_CLIP, Rows>;
    case FILBERT_QUICK_GELU:
      return finish<FILBERT_QUICK_GELU, Rows>;
    case FILBERT_RELU:
      return finish<FILBERT_RELU, Rows>;
    case FILBERT_RELU2:
      return finish<FILBERT_RELU2, Rows>;
    case FILBERT_RELU6:
      return finish<FILBERT_RELU6, Rows>;
    case FILBERT_SILU:
      return finish<FILBERT_SILU, Rows>;
    case FILBERT_TANH:
      return finish<FILBERT_TANH, Rows>;
    case FILBERT_SIGMOID:
      return finish<FILBERT_SIGMOID, Rows>;
    case FILBERT_LEAKY_RELU:
      return finish<FILBERT_LEAKY_RELU, Rows>;
    case FILBERT_MISH:
      return finish<FILBERT_MISH, Rows>;
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return finish<FILBERT_IDENTITY, Rows>;
}

// How a linear layer reads its rows: float32 where they lie, the others packed into scratch.
struct F32Rows {
  using Operand = F32;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, 1, 1, 0};
  static constexpr bool kIntegers = false;
  static constexpr bool kShort = false;
  static std::size_t words(std::size_t k) { return k; }
  static std::size_t scratch(std::size_t, std::size_t) { return 0; }

  F32Rows(const float* x, std::size_t, const PackedMatrix& w, float*) : data(x), stride(w.k) {}
  static constexpr const float* scales = nullptr;
  const float* data;
  std::size_t stride;
};

template <typename T>
struct Bf16Rows {
  using Operand = T;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, kBf16Multiple, 2, 0};
  static constexpr bool kIntegers = false;
  static constexpr bool kShort = true;
  static std::size_t words(std::size_t k) { return bf16_words(k); }
  static std::size_t scratch(std::size_t rows, std::size_t k) { return T::Layout::size(rows, words(k)); }

  Bf16Rows(const float* x, std::size_t rows, const PackedMatrix& w, float* scratch)
      : data(reinterpret_cast<std::uint32_t*>(scratch)), stride(T::Layout::stride(words(w.k))) {
    pack_bf16_rows<T>(x, w.k, rows, w.k, data);
  }
  static constexpr const float* scales = nullptr;
  std::uint32_t* data;
  std::size_t stride;
};

template <typename T>
struct I8Rows {
  using Operand = T;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, T::kMultiple, T::kGroup, T::kZeroPoint};
  static constexpr bool kIntegers = true;
  static constexpr bool kShort = true;
  static std::size_t words(std::size_t k) { return round_up(k, T::kMultiple) / T::kGroup; }
  static std::size_t scratch(std::size_t rows, std::size_t k) {
    return T::Layout::size(rows, words(k)) + rows + k;  // the rows, their scales, one rotated row
  }

  I8Rows(const float* x, std::size_t rows, const PackedMatrix& w, float* scratch)
      : data(reinterpret_cast<std::uint32_t*>(scratch)),
        stride(T::Layout::stride(words(w.k))),
        scales(scratch + T::Layout::size(rows, words(w.k))) {
    const std::size_t k = w.k;
    for (std::size_t r = 0; r < rows; ++r)
      scales[r] =
          pack_i8_row<T>(x + r * k, w.factors, k, words(k), scales + rows, data + T::Layout::offset(r, words(k)));
  }
  std::uint32_t* data;
  std::size_t stride;
  float* scales;
};

// Finishes rows [row, row + rows) of the share, columns [column, column + columns); may be in place.
template <typename Rows>
inline void finish_rows(const LinearTask& task, const Rows& a, std::size_t row_begin, std::size_t row, std::size_t rows,
                        std::size_t column, std::size_t columns, const float* sums, std::size_t sum_stride) {
  const auto from_column = [column](const auto* values) { return values ? values + column : nullptr; };
  const PackedMatrix& w = task.weight;
  const std::size_t index = (row_begin + row) * w.n + column;
  const float* residual = task.residual ? task.residual + index : nullptr;
  const float* row_scales = Rows::kIntegers ? a.scales + row : nullptr;
  finish_of<Rows>(task.activation)({sums, sum_stride, from_column(task.bias), residual, row_scales,
                                    from_column(w.scales), from_column(w.offsets), task.out + index, w.n},
                                   rows, columns);
}

template <typename Rows>
inline void linear(const LinearTask& task, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                   std::size_t panel_end, float* scratch) {
  using T = typename Rows::Operand;
  const PackedMatrix& w = task.weight;
  const std::size_t rows = row_end - row_begin;
  const std::size_t words = Rows::words(w.k);
  const Rows a(task.x + row_begin * w.k, rows, w, scratch);
  const auto* panels = static_cast<const typename T::Cell*>(w.panels);
  for (std::size_t panel = panel_begin; panel < panel_end; ++panel) {
    const std::size_t column = panel * kPanelWidth;
    const std::size_t columns = panel_columns(w.n, panel);
    float* c = task.out + row_begin * w.n + column;
    multiply_panel<T>(rows, words, a.data, a.stride, panels + column * words, c, w.n, columns);
    finish_rows(task, a, row_begin, 0, rows, column, columns, c, w.n);
  }
}

template <typename Rows>
constexpr LinearKernel linear_kernel() {
  return {Rows::kFormat, 96, kTileRows, Rows::scratch, linear<Rows>};
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
