// Matrix products by plain loops, and the whole set. Panels are one column wide, which is the matrix [n, k] as it came,
// or the rows of a gated one in turns.
#include "cpu/scalar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/convert.h"
#include "cpu/kernel_sets.h"
#include "cpu/rotation.h"

namespace filbert::cpu {
namespace {

float activate(filbert_activation activation, float x) {
  const auto sigmoid = [](float v) { return 1.0f / (1.0f + std::exp(-v)); };
  const auto gelu_erf = [](float v) { return 0.5f * v * std::erfc(-v * 0.707106781f); };
  switch (activation) {
    case FILBERT_GELU_ERF:
      return gelu_erf(x);
    case FILBERT_GELU_TANH:
      return 0.5f * x * (1.0f + std::tanh(0.797884561f * (x + 0.044715f * x * x * x)));
    case FILBERT_GELU_ERF_CLIP:
      return std::clamp(gelu_erf(x), -10.0f, 10.0f);
    case FILBERT_QUICK_GELU:
      return x * sigmoid(1.702f * x);
    case FILBERT_RELU:
      return x < 0 ? 0.0f : x;
    case FILBERT_RELU2:
      return x < 0 ? 0.0f : x * x;
    case FILBERT_RELU6:
      return x < 0 ? 0.0f : (x > 6 ? 6.0f : x);
    case FILBERT_SILU:
      return x * sigmoid(x);
    case FILBERT_TANH:
      return std::tanh(x);
    case FILBERT_SIGMOID:
      return sigmoid(x);
    case FILBERT_LEAKY_RELU:
      return x < 0 ? 0.01f * x : x;
    case FILBERT_MISH:
      return x * std::tanh(std::log1p(std::exp(x)));
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return x;
}
// Operands: what a row [k] becomes, in `size` floats, and its product with a row of the weights.
struct F32 {
  static constexpr bool kPacked = false;
  static std::size_t size(std::size_t k) { return k; }
  static float product(const float* x, const PanelMatrix& w, std::size_t column) {
    return scalar_dot(x, static_cast<const float*>(w.panels) + column * w.k, w.k);
  }
};

struct Bf16 {
  static constexpr bool kPacked = true;
  static std::size_t size(std::size_t k) { return k; }
  static void pack(const float* row, const PanelMatrix& w, float* x) {
    for (std::size_t i = 0; i < w.k; ++i) x[i] = bf16_to_float(float_to_bf16(row[i]));
  }
  static float product(const float* x, const PanelMatrix& w, std::size_t column) {
    const auto* weights = static_cast<const std::uint16_t*>(w.panels) + column * w.k;
    float sum = 0;
    for (std::size_t i = 0; i < w.k; ++i) sum += x[i] * bf16_to_float(weights[i]);
    return sum;
  }
};

// Integers, and behind them what one of them is worth.
struct I8 {
  static constexpr bool kPacked = true;
  static std::size_t size(std::size_t k) { return k + 1; }
  static void pack(const float* row, const PanelMatrix& w, float* x) {
    const std::size_t k = w.k;
    for (std::size_t i = 0; i < k; ++i) x[i] = w.factors ? row[i] * w.factors[i] : row[i];
    rotate_row(x, k);
    float top = 0;
    for (std::size_t i = 0; i < k; ++i) top = x[i] != x[i] ? x[i] : (std::abs(x[i]) > top ? std::abs(x[i]) : top);
    const float inverse = top > 1e-36f ? 127.0f / top : 0.0f;  // of less it would be infinite
    for (std::size_t i = 0; i < k; ++i) x[i] = std::nearbyint(x[i] * inverse);
    x[k] = top * (1.0f / 127.0f);
  }
  static float product(const float* x, const PanelMatrix& w, std::size_t column) {
    const float scale = x[w.k];
    if (!std::isfinite(scale)) return scale;
    const auto* weights = static_cast<const std::int8_t*>(w.panels) + column * w.k;
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < w.k; ++i) sum += static_cast<std::int32_t>(x[i]) * weights[i];
    return static_cast<float>(sum) * (scale * w.scales[column]);
  }
};

template <typename Operand>
std::size_t operand_size(std::size_t rows, std::size_t k) {
  return rows * Operand::size(k);
}

template <typename Operand>
void pack(Strided<const float> x, std::size_t begin, std::size_t end, std::size_t, const PanelMatrix& w, float* operand,
          float*) {
  for (std::size_t row = begin; row < end; ++row) Operand::pack(x.row(row), w, operand + row * Operand::size(w.k));
}

// Of a gated weight, the columns of the gate are the even ones.
template <typename Operand>
void linear(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float*) {
  const PanelMatrix& w = task.weight;
  for (std::size_t row = 0; row < task.rows; ++row) {
    const std::size_t stride = Operand::kPacked ? Operand::size(w.k) : task.operand_stride;
    const float* x = static_cast<const float*>(task.operand) + row * stride;
    float* out = static_cast<float*>(task.out) + row * task.out_stride;
    const auto sum = [&](std::size_t column) {
      const float product = Operand::product(x, w, column);
      return task.bias ? product + task.bias[column] : product;
    };
    for (std::size_t column = panel_begin; column < panel_end; ++column) {
      if (task.gated && column % 2 == 0) out[column / 2] = activate(task.activation, sum(column)) * sum(column + 1);
      if (task.gated) continue;
      const float result = activate(task.activation, sum(column));
      out[column] = task.residual ? result + task.residual[row * w.outputs + column] : result;
    }
  }
}

template <typename Operand>
constexpr LinearKernel kernel(decltype(LinearKernel::pack) pack) {
  return {
      .format = {1, 1, 1, 1, 0},
      .share_rows = 96,
      .thread_rows = 32,
      .row_grain = 1,
      .gives_operands = false,
      .operand = operand_size<Operand>,
      .pack = pack,
      .scratch = [](std::size_t, std::size_t) -> std::size_t { return 0; },
      .run = linear<Operand>,
      .sums = nullptr,
  };
}

}  // namespace

float scalar_dot(const float* a, const float* b, std::size_t k) {
  float total = 0;
  const std::size_t block = k_block(k);
  for (std::size_t begin = 0; begin < k; begin += block) {
    float sum = 0;
    for (std::size_t i = begin; i < k && i < begin + block; ++i) sum += a[i] * b[i];
    total += sum;
  }
  return total;
}

Kernels scalar_kernels() {
  return {
      .isa = "scalar",
      .f32 = kernel<F32>(nullptr),
      .bf16 = kernel<Bf16>(pack<Bf16>),
      .i8 = kernel<I8>(pack<I8>),
      .attention = scalar_attention(),
      .fast_attention = scalar_attention(),
      .rows = scalar_rows(),
      .multiplies_bf16 = false,
  };
}

}  // namespace filbert::cpu
