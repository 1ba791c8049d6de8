// out = activation(x W^T + bias) + residual, or activation(gate) times the other, panel by panel; the epilogue runs
// while the panel's results are in L1.
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Sums of some rows and columns, and what turns them into results.
struct Epilogue {
  const float* sums;  // [rows, columns], rows `sum_stride` apart
  std::size_t sum_stride;
  const float* bias;      // [columns] or null
  const float* residual;  // [rows, columns] or null, rows `residual_stride` apart
  std::size_t residual_stride;
  const float* row_scales;      // [rows]; this and the next two for integer sums only
  const float* scales;          // [columns]
  const std::int32_t* offsets;  // [columns]
  float* out;                   // [rows, columns], rows `out_stride` apart, or null
  std::size_t out_stride;
  std::uint32_t* operand;  // or an operand of rows of `words` words, of which these are from `row` and `column` on
  std::size_t words, row, column;
  HeadPlaces heads;     // or these
  std::size_t outputs;  // of a gated layer: results that there are from these columns on
};

template <typename Rows>
inline void store_result(const Epilogue& e, std::size_t r, std::size_t j, Vec v, std::size_t lanes) {
  if constexpr (Rows::kGivesOperands)
    if (e.operand) return Rows::store(e.operand, e.words, e.row + r, e.column + j, v);
  if constexpr (Rows::kPutsHeads)
    if (e.heads.size) return put_vector(e.heads, e.row + r, j, v, lanes);
  store_first(e.out + r * e.out_stride + j, v, lanes);
}

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
      if (e.residual) v = v + load_first(e.residual + r * e.residual_stride + j, lanes);
      store_result<Rows>(e, r, j, v, lanes);
    }
  });
}

// Of pairs of vectors, a gate and what it multiplies.
template <filbert_activation A, typename Rows>
inline void finish_gated(const Epilogue& e, std::size_t rows, std::size_t columns) {
  for (std::size_t j = 0; j < columns; j += 2 * kWidth) {
    const std::size_t to = j / 2;
    const std::size_t lanes = e.outputs - to < kWidth ? e.outputs - to : kWidth;
    const auto value = [&](std::size_t r, std::size_t column) {
      const Vec bias = e.bias ? load(e.bias + column) : set(0.0f);
      const float* const sums = e.sums + r * e.sum_stride + column;
      if constexpr (Rows::kIntegers)
        return unshift(sums, e.offsets + column, kWidth) * (set(e.row_scales[r]) * load(e.scales + column)) + bias;
      else
        return load(sums) + bias;
    };
    for (std::size_t r = 0; r < rows; ++r) {
      const Vec gate = activate<A, Rows::kShort>(value(r, j));
      store_result<Rows>(e, r, to, gate * value(r, j + kWidth), lanes);
    }
  }
}

using Finish = void (*)(const Epilogue&, std::size_t rows, std::size_t columns);

template <filbert_activation A, typename Rows>
inline Finish finish_as(bool gated) {
  return gated ? finish_gated<A, Rows> : finish<A, Rows>;
}

template <typename Rows>
inline Finish finish_of(filbert_activation activation, bool gated) {
  switch (activation) {
    case FILBERT_GELU_ERF:
      return finish_as<FILBERT_GELU_ERF, Rows>(gated);
    case FILBERT_GELU_TANH:
      return finish_as<FILBERT_GELU_TANH, Rows>(gated);
    case FILBERT_GELU_ERF_CLIP:
      return finish_as<FILBERT_GELU_ERF_CLIP, Rows>(gated);
    case FILBERT_QUICK_GELU:
      return finish_as<FILBERT_QUICK_GELU, Rows>(gated);
    case FILBERT_RELU:
      return finish_as<FILBERT_RELU, Rows>(gated);
    case FILBERT_RELU2:
      return finish_as<FILBERT_RELU2, Rows>(gated);
    case FILBERT_RELU6:
      return finish_as<FILBERT_RELU6, Rows>(gated);
    case FILBERT_SILU:
      return finish_as<FILBERT_SILU, Rows>(gated);
    case FILBERT_TANH:
      return finish_as<FILBERT_TANH, Rows>(gated);
    case FILBERT_SIGMOID:
      return finish_as<FILBERT_SIGMOID, Rows>(gated);
    case FILBERT_LEAKY_RELU:
      return finish_as<FILBERT_LEAKY_RELU, Rows>(gated);
    case FILBERT_MISH:
      return finish_as<FILBERT_MISH, Rows>(gated);
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return finish_as<FILBERT_IDENTITY, Rows>(gated);
}

// How a linear layer reads its rows: float32 as they come, the others as an operand.
struct F32Rows {
  using Operand = F32;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, 1, 1, 0};
  static constexpr bool kIntegers = false;
  static constexpr bool kShort = false;
  static constexpr bool kPutsHeads = false;  // float32 contexts attend in float32
  static constexpr bool kGivesOperands = false;
  static constexpr bool kSlices = true;
  static constexpr auto kPack = nullptr;
  static std::size_t words(std::size_t k) { return k; }
  static std::size_t operand(std::size_t, std::size_t) { return 0; }
  static std::size_t pack_scratch(std::size_t) { return 0; }

  explicit F32Rows(const LinearTask& task)
      : data(static_cast<const float*>(task.operand)), stride(task.operand_stride) {}
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
  static constexpr bool kPutsHeads = true;
  static constexpr bool kGivesOperands = true;
  static constexpr bool kSlices = false;
  static std::size_t words(std::size_t k) { return bf16_words(k); }
  static std::size_t operand(std::size_t rows, std::size_t k) { return T::Layout::size(rows, words(k)); }
  static std::size_t pack_scratch(std::size_t) { return 0; }
  static void pack(Strided<const float> x, std::size_t begin, std::size_t end, std::size_t, const PanelMatrix& w,
                   float* operand, float*) {
    pack_bf16_rows<T>(x.data, x.stride, begin, end, w.k, reinterpret_cast<std::uint32_t*>(operand));
  }
  static constexpr auto kPack = pack;
  // A vector of a row from `column` on.
  static void store(std::uint32_t* operand, std::size_t row_words, std::size_t row, std::size_t column, Vec v) {
    using Layout = typename T::Layout;
    constexpr std::size_t kNumbers = 2 * Layout::kPiece;
    Layout::put(operand + Layout::offset(row, row_words) + column / kNumbers * Layout::kStep, column % kNumbers, v);
  }

  explicit Bf16Rows(const LinearTask& task)
      : data(static_cast<const typename T::Word*>(task.operand)),
        stride(T::Layout::stride(words(task.k_end - task.k_begin))) {}
  static constexpr const float* scales = nullptr;
  const typename T::Word* data;
  std::size_t stride;
};

// Behind the rows: their scales.
template <typename T>
struct I8Rows {
  using Operand = T;
  static constexpr MatrixFormat kFormat = {kPanelWidth, kWidth, T::kMultiple, T::kGroup, T::kZeroPoint};
  static constexpr bool kIntegers = true;
  static constexpr bool kShort = true;
  static constexpr bool kPutsHeads = true;
  static constexpr bool kSlices = false;
  static constexpr bool kGivesOperands = false;  // what an integer is worth depends on the whole row
  static std::size_t words(std::size_t k) { return round_up(k, T::kMultiple) / T::kGroup; }
  static std::size_t operand(std::size_t rows, std::size_t k) { return T::Layout::size(rows, words(k)) + rows; }
  static std::size_t pack_scratch(std::size_t k) { return k; }  // a rotated row
  static void pack(Strided<const float> x, std::size_t begin, std::size_t end, std::size_t rows, const PanelMatrix& w,
                   float* operand, float* scratch) {
    auto* data = reinterpret_cast<std::uint32_t*>(operand);
    float* const scales = operand + T::Layout::size(rows, words(w.k));
    for (std::size_t r = begin; r < end; ++r)
      scales[r] =
          pack_i8_row<T>(x.row(r), w.factors, w.k, words(w.k), scratch, data + T::Layout::offset(r, words(w.k)));
  }
  static constexpr auto kPack = pack;

  explicit I8Rows(const LinearTask& task)
      : data(static_cast<const std::uint32_t*>(task.operand)),
        stride(T::Layout::stride(words(task.weight.k))),
        scales(static_cast<const float*>(task.operand) + T::Layout::size(task.rows, words(task.weight.k))) {}
  const std::uint32_t* data;
  std::size_t stride;
  const float* scales;
};

// Of all rows and the columns of the panels from `column` on.
template <typename Rows>
inline Epilogue epilogue_of(const LinearTask& task, const Rows& a, std::size_t column, const float* sums,
                            std::size_t sum_stride) {
  const auto from_column = [column](const auto* values) { return values ? values + column : nullptr; };
  const PanelMatrix& w = task.weight;
  const std::size_t result = task.gated ? column / 2 : column;
  Epilogue e = {};
  e.sums = sums;
  e.sum_stride = sum_stride;
  e.bias = from_column(task.bias);
  e.residual = task.residual ? task.residual + result : nullptr;
  e.residual_stride = w.outputs;
  if constexpr (Rows::kIntegers) {
    e.row_scales = a.scales;
    e.scales = w.scales + column;
    e.offsets = w.offsets + column;
  }
  e.outputs = w.outputs - result;
  if (task.heads.size) {
    e.heads = task.heads;
    e.heads.data += result / e.heads.size * e.heads.next_head;
    e.heads.column = result % e.heads.size;
  } else if (task.out_is_operand) {
    e.operand = static_cast<std::uint32_t*>(task.out);
    e.words = (task.out_end - task.out_begin) / 2;
    e.column = result - task.out_begin;
  } else {
    e.out = static_cast<float*>(task.out) + (result - task.out_begin);
    e.out_stride = task.out_stride;
  }
  return e;
}

// Sums of slices wait panel by panel.
template <typename Rows>
inline void linear(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float* scratch) {
  using T = typename Rows::Operand;
  const PanelMatrix& w = task.weight;
  const std::size_t all = Rows::words(w.k), begin = Rows::words(task.k_begin), end = Rows::words(task.k_end);
  const Rows a(task);
  const auto cells = [&](std::size_t panel) {
    const std::size_t width = round_up(panel_columns(w.n, panel), kWidth);
    return static_cast<const typename T::Cell*>(w.panels) + panel * kPanelWidth * all + begin * width;
  };
  const Finish finish_panel = finish_of<Rows>(task.activation, task.gated);
  for (std::size_t panel = panel_begin; panel < panel_end; ++panel) {
    const std::size_t columns = panel_columns(w.n, panel);
    float* const sums = task.sums ? task.sums + panel * task.rows * kPanelWidth : scratch;
    if constexpr (Rows::kSlices)
      multiply_blocks<T>(task.rows, end - begin, a.data, a.stride, cells(panel), cells(panel + 1), sums, kPanelWidth,
                         columns, T::block(all), begin > 0);
    else
      multiply_panel<T>(task.rows, all, a.data, a.stride, cells(panel), sums, kPanelWidth, columns, T::block(all));
    if (end == all) finish_panel(epilogue_of(task, a, panel * kPanelWidth, sums, kPanelWidth), task.rows, columns);
  }
}

inline std::size_t linear_sums(std::size_t rows, std::size_t n) { return rows * round_up(n, kPanelWidth); }

template <typename Rows>
inline std::size_t linear_scratch(std::size_t rows, std::size_t k) {
  const std::size_t sums = rows * kPanelWidth;
  return sums > Rows::pack_scratch(k) ? sums : Rows::pack_scratch(k);
}

template <typename Rows>
constexpr LinearKernel linear_kernel() {
  return {
      .format = Rows::kFormat,
      .share_rows = 96,
      .thread_rows = Rows::kIntegers ? kThreadRows / 2 : kThreadRows,
      .row_grain = kTileRows,
      .gives_operands = Rows::kGivesOperands,
      .operand = Rows::operand,
      .pack = Rows::kPack,
      .scratch = linear_scratch<Rows>,
      .run = linear<Rows>,
      .sums = Rows::kSlices ? linear_sums : nullptr,
  };
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
