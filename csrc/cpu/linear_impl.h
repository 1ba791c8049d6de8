// out = activation(x W^T + bias) + residual, panel by panel; the epilogue runs while the panel's results are in L1.
#pragma once

#include "cpu/kernels.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

template <filbert_activation A>
inline void finish_row(std::size_t columns, const float* bias, const float* residual, float* c) {
  std::size_t j = 0;
  for (; j + kWidth <= columns; j += kWidth) {
    Vec v = load(c + j);
    if (bias) v = v + load(bias + j);
    v = activate<A>(v);
    if (residual) v = v + load(residual + j);
    store(c + j, v);
  }
  if (const std::size_t left = columns - j; left > 0) {
    Vec v = load_first(c + j, left);
    if (bias) v = v + load_first(bias + j, left);
    v = activate<A>(v);
    if (residual) v = v + load_first(residual + j, left);
    store_first(c + j, v, left);
  }
}

using FinishRow = void (*)(std::size_t, const float*, const float*, float*);

inline FinishRow finish_row_of(filbert_activation activation) {
  switch (activation) {
    case FILBERT_GELU_ERF:
      return finish_row<FILBERT_GELU_ERF>;
    case FILBERT_GELU_TANH:
      return finish_row<FILBERT_GELU_TANH>;
    case FILBERT_GELU_ERF_CLIP:
      return finish_row<FILBERT_GELU_ERF_CLIP>;
    case FILBERT_QUICK_GELU:
      return finish_row<FILBERT_QUICK_GELU>;
    case FILBERT_RELU:
      return finish_row<FILBERT_RELU>;
    case FILBERT_RELU2:
      return finish_row<FILBERT_RELU2>;
    case FILBERT_RELU6:
      return finish_row<FILBERT_RELU6>;
    case FILBERT_SILU:
      return finish_row<FILBERT_SILU>;
    case FILBERT_TANH:
      return finish_row<FILBERT_TANH>;
    case FILBERT_SIGMOID:
      return finish_row<FILBERT_SIGMOID>;
    case FILBERT_LEAKY_RELU:
      return finish_row<FILBERT_LEAKY_RELU>;
    case FILBERT_MISH:
      return finish_row<FILBERT_MISH>;
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return finish_row<FILBERT_IDENTITY>;
}

inline void linear(const LinearTask& task, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                   std::size_t panel_end) {
  const std::size_t n = task.weight.n;
  const std::size_t k = task.weight.k;
  const std::size_t rows = row_end - row_begin;
  const FinishRow finish = finish_row_of(task.activation);
  for (std::size_t panel = panel_begin; panel < panel_end; ++panel) {
    const std::size_t column = panel * kPanelWidth;
    const std::size_t columns = panel_columns(n, panel);
    const float* bias = task.bias ? task.bias + column : nullptr;
    float* c = task.out + row_begin * n + column;
    multiply_panel(rows, k, task.x + row_begin * k, k, task.weight.panels + column * k, c, n, columns);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* residual = task.residual ? task.residual + (row_begin + r) * n + column : nullptr;
      finish(columns, bias, residual, c + r * n);
    }
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
