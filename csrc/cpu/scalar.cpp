// Plain loops: the oracle of every other implementation, and the fallback. Panels are one column wide, which is the
// matrix [n, k] as it came, or the rows of a gated one in turns.
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

float dot(const float* a, const float* b, std::size_t k) {
  float total = 0;
  const std::size_t block = k_block(k);
  for (std::size_t begin = 0; begin < k; begin += block) {
    float sum = 0;
    for (std::size_t i = begin; i < k && i < begin + block; ++i) sum += a[i] * b[i];
    total += sum;
  }
  return total;
}

// Operands: what a row [k] becomes, in `size` floats, and its product with a row of the weights.
struct F32 {
  static std::size_t size(std::size_t k) { return k; }
  static float product(const float* x, const PanelMatrix& w, std::size_t column) {
    return dot(x, static_cast<const float*>(w.panels) + column * w.k, w.k);
  }
};

struct Bf16 {
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
void pack(const float* x, std::size_t begin, std::size_t end, std::size_t, const PanelMatrix& w, float* operand,
          float*) {
  for (std::size_t row = begin; row < end; ++row) Operand::pack(x + row * w.k, w, operand + row * Operand::size(w.k));
}

// Of a gated weight, the columns of the gate are the even ones.
template <typename Operand>
void linear(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float*) {
  const PanelMatrix& w = task.weight;
  for (std::size_t row = 0; row < task.rows; ++row) {
    const float* x = static_cast<const float*>(task.operand) + row * Operand::size(w.k);
    float* out = static_cast<float*>(task.out) + row * w.outputs;
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
      .scratch = [](std::size_t, std::size_t, bool) -> std::size_t { return 0; },
      .run = linear<Operand>,
  };
}

std::size_t attention_scratch(std::size_t keys, std::size_t) { return keys; }

bool sees(const AttentionTask& task, std::size_t query, std::size_t key) {
  if (!task.relative) return true;
  const auto place = static_cast<std::ptrdiff_t>(key);
  if (task.causal && place > task.first_query + static_cast<std::ptrdiff_t>(query)) return false;
  if (task.window == 0) return true;
  return std::abs(std::int64_t{task.key_columns[key]} - task.query_columns[query]) <= task.window;
}

float bias_of(const AttentionTask& task, std::size_t head, std::size_t query, std::size_t key) {
  const std::int64_t distance = std::int64_t{task.key_columns[key]} - task.query_columns[query];
  const std::int64_t begin = static_cast<std::int64_t>(head) * (2 * task.reach + 1);
  return task.bias[begin + std::clamp(distance, -task.reach, task.reach)];
}

// more: what the score of a key has beside q k^T.
template <typename More>
void attend(const AttentionTask& task, std::size_t head, std::size_t query, const More& more) {
  float* p = task.scratch;
  const std::size_t d = task.head_size;
  const float* q = task.q.data + query * task.q.stride + head * d;
  float* out = task.out.data + query * task.out.stride + head * d;
  std::size_t begin = 0, end = task.keys;  // columns grow, so what a query sees is a range
  while (begin < end && !sees(task, query, begin)) ++begin;
  while (begin < end && !sees(task, query, end - 1)) --end;
  float top = -INFINITY;
  for (std::size_t key = begin; key < end; ++key) {
    float& score = p[key - begin];
    score = task.scale * (dot(q, task.k.data + key * task.k.stride, d) + more(key));
    if (task.bias) score += bias_of(task, head, query, key);
    top = std::fmax(top, score);
  }
  float sum = 0;
  for (std::size_t i = 0; i < end - begin; ++i) {
    p[i] = std::exp(p[i] - top);
    sum += p[i];
  }
  for (std::size_t i = 0; i < end - begin; ++i) p[i] /= sum;
  for (std::size_t j = 0; j < d; ++j) {
    float total = 0;
    for (std::size_t key = begin; key < end; ++key) total += p[key - begin] * task.v.data[key * task.v.stride + j];
    out[j] = total;
  }
  if (!task.probabilities) return;
  float* line = task.probabilities + head * task.probability_head_stride + query * task.probability_stride;
  for (std::size_t key = 0; key < task.keys; ++key) line[key] = key >= begin && key < end ? p[key - begin] : 0.0f;
}

void attention(const AttentionTask& task) {
  for (std::size_t head = 0; head < task.heads; ++head)
    for (std::size_t query = 0; query < task.queries; ++query)
      attend(task, head, query, [](std::size_t) { return 0.0f; });
}

std::size_t disentangled_scratch(const DisentangledSizes& most) { return attention_scratch(most.keys, most.head_size); }

void disentangled(const DisentangledTask& task) {
  const AttentionTask& of = task.attention;
  for (std::size_t query = 0; query < of.queries; ++query)
    attend(of, 0, query, [&](std::size_t key) {
      const std::int64_t distance = std::int64_t{of.key_columns[key]} - of.query_columns[query];
      const auto row = static_cast<std::size_t>(task.rows[std::clamp(distance, -task.reach, task.reach)]);
      const auto product = [&](const Heads<const float>& x, std::size_t token, const Heads<const float>& table) {
        return table.data ? dot(x.data + token * x.stride, table.data + row * table.stride, of.head_size) : 0.0f;
      };
      return product(of.q, query, task.position_k) + product(of.k, key, task.position_q);
    });
}

void norm_row(filbert_norm_kind kind, const filbert_weight* gamma, const filbert_weight* beta, float eps,
              std::size_t width, const float* x, const float* residual, float* out) {
  const float count = static_cast<float>(width);
  float mean = 0;
  for (std::size_t j = 0; j < width && kind == FILBERT_LAYER_NORM; ++j) mean += x[j];
  mean /= count;
  float variance = 0;
  for (std::size_t j = 0; j < width; ++j) variance += (x[j] - mean) * (x[j] - mean);
  const float inverse = 1.0f / std::sqrt(variance / count + eps);
  for (std::size_t j = 0; j < width; ++j) {
    const float normed = (x[j] - mean) * inverse * floats_of(gamma)[j] + (beta ? floats_of(beta)[j] : 0.0f);
    out[j] = residual ? normed + residual[j] : normed;
  }
}

void embed_row(const filbert_embed_args& args, std::size_t row, float* out) {
  const auto at = [&](const filbert_weight* table, const std::int32_t* indices, std::size_t j) {
    return table ? floats_of(table)[static_cast<std::size_t>(indices[row]) * args.width + j] : 0.0f;
  };
  for (std::size_t j = 0; j < args.width; ++j) {
    out[j] = args.word_scale * at(args.word, args.ids, j);
    out[j] += at(args.type, args.types, j);
    out[j] += at(args.position, args.positions, j);
  }
}

// The first number of a head of a row.
float* head_of(const filbert_heads& heads, std::size_t row, std::size_t head, std::size_t head_size) {
  return static_cast<float*>(heads.x) + row * heads.width + heads.column + head * head_size;
}

void turn_head(const filbert_rope_args& args, std::size_t row, float* head) {
  const std::size_t half = args.rotary / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const float angle = static_cast<float>(args.positions[row]) * floats_of(args.frequencies)[i];
    const float cosine = std::cos(angle), sine = std::sin(angle);
    const float turned = head[i] * cosine - head[half + i] * sine;
    head[half + i] = head[half + i] * cosine + head[i] * sine;
    head[i] = turned;
  }
}

bool run_rows(const filbert_token_op& op, std::size_t begin, std::size_t end, const float* x, float* out) {
  const auto each_row = [&](const auto& body) {
    for (std::size_t row = begin; row < end; ++row) body(row);
    return true;
  };
  switch (op.kind) {
    case FILBERT_EMBED:
      return each_row(
          [&, args = op.args.embed](std::size_t row) { embed_row(args, row, out + (row - begin) * args.width); });
    case FILBERT_NORM:
      return each_row([&, args = op.args.norm](std::size_t row) {
        const std::size_t at = (row - begin) * args.width;
        const auto* residual = static_cast<const float*>(args.residual);
        norm_row(args.kind, args.gamma, args.beta, args.eps, args.width, x + at,
                 residual ? residual + row * args.width : nullptr, out + at);
      });
    case FILBERT_HEAD_NORM:
      return each_row([&, args = op.args.head_norm](std::size_t row) {
        for (std::size_t i = 0; i < args.count; ++i) {
          float* head = head_of(args.heads, row, i, args.head_size);
          norm_row(args.kind, args.gamma, args.beta, args.eps, args.head_size, head, nullptr, head);
        }
      });
    case FILBERT_ROPE:
      return each_row([&, args = op.args.rope](std::size_t row) {
        for (std::size_t i = 0; i < args.count; ++i) turn_head(args, row, head_of(args.heads, row, i, args.head_size));
      });
    case FILBERT_LINEAR:
      break;
  }
  return false;
}

void pool(const float* x, std::size_t tokens, std::size_t width, filbert_pooling pooling, bool normalize, float* out) {
  if (pooling == FILBERT_POOL_LAST) x += (tokens - 1) * width;
  const bool all = pooling == FILBERT_POOL_MEAN || pooling == FILBERT_POOL_MAX;
  float squares = 0;
  for (std::size_t j = 0; j < width; ++j) {
    float v = x[j];
    for (std::size_t t = 1; t < tokens && all; ++t)
      v = pooling == FILBERT_POOL_MEAN ? v + x[t * width + j] : std::fmax(v, x[t * width + j]);
    if (pooling == FILBERT_POOL_MEAN) v /= static_cast<float>(tokens);
    out[j] = v;
    squares += v * v;
  }
  const float length = std::fmax(std::sqrt(squares), 1e-12f);
  for (std::size_t j = 0; j < width && normalize; ++j) out[j] /= length;
}

}  // namespace

Kernels scalar_kernels() {
  return {
      .isa = "scalar",
      .f32 = kernel<F32>(nullptr),
      .bf16 = kernel<Bf16>(pack<Bf16>),
      .i8 = kernel<I8>(pack<I8>),
      .attention = {attention_scratch, attention, disentangled_scratch, disentangled},
      .fast_attention = {attention_scratch, attention, disentangled_scratch, disentangled},
      .rows = {run_rows, pool},
      .multiplies_bf16 = false,
  };
}

}  // namespace filbert::cpu
