// Ops on rows, and pooling, by plain loops.
#include <algorithm>
#include <cmath>

#include "cpu/scalar.h"

namespace filbert::cpu {
namespace {

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
  const float word_scale = args.word_scales ? args.word_scale * args.word_scales[row] : args.word_scale;
  for (std::size_t j = 0; j < args.width; ++j) {
    out[j] = word_scale * at(args.word, args.ids, j);
    out[j] += at(args.type, args.types, j);
    out[j] += at(args.position, args.positions, j);
  }
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

bool run_rows(const filbert_token_op& op, std::size_t begin, std::size_t end, Strided<const float> x,
              Strided<float> out) {
  const auto each_row = [&](const auto& body) {
    for (std::size_t row = begin; row < end; ++row) body(row);
    return true;
  };
  switch (op.kind) {
    case FILBERT_EMBED:
      return each_row([&, args = op.args.embed](std::size_t row) { embed_row(args, row, out.row(row - begin)); });
    case FILBERT_NORM:
      return each_row([&, args = op.args.norm](std::size_t row) {
        const auto* residual = static_cast<const float*>(args.residual);
        norm_row(args.kind, args.gamma, args.beta, args.eps, args.width, x.row(row - begin),
                 residual ? residual + row * args.width : nullptr, out.row(row - begin));
      });
    case FILBERT_HEAD_NORM:
      return each_row([&, args = op.args.head_norm](std::size_t row) {
        for (std::size_t i = 0; i < args.count; ++i) {
          float* const head = out.row(row - begin) + args.heads.column + i * args.head_size;
          norm_row(args.kind, args.gamma, args.beta, args.eps, args.head_size, head, nullptr, head);
        }
      });
    case FILBERT_ROPE:
      return each_row([&, args = op.args.rope](std::size_t row) {
        for (std::size_t i = 0; i < args.count; ++i)
          turn_head(args, row, out.row(row - begin) + args.heads.column + i * args.head_size);
      });
    case FILBERT_MULTIPLY:
      return each_row([&, args = op.args.multiply](std::size_t row) {
        const auto* y = static_cast<const float*>(args.y);
        for (std::size_t j = 0; j < args.width; ++j) {
          const float scaled = args.factor ? floats_of(args.factor)[0] * x.row(row - begin)[j] : x.row(row - begin)[j];
          out.row(row - begin)[j] = y ? scaled * y[row * args.width + j] : scaled;
        }
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

void route(const float* x, const float* router, std::size_t experts, std::size_t width, float* out) {
  for (std::size_t e = 0; e < experts; ++e) out[e] = scalar_dot(x, router + e * width, width);
  const float top = *std::max_element(out, out + experts);
  float sum = 0;
  for (std::size_t e = 0; e < experts; ++e) sum += out[e] = std::exp(out[e] - top);
  for (std::size_t e = 0; e < experts; ++e) out[e] /= sum;
}

void mix(const MixTask& task) {
  for (std::size_t j = 0; j < task.width; ++j) {
    float sum = 0;
    for (std::size_t i = 0; i < task.count; ++i)
      sum += task.shares[i] * task.results[static_cast<std::size_t>(task.rows[i]) * task.width + j];
    task.out[j] = sum + task.bias[j] + task.residual[j];
  }
}

}  // namespace

RowKernels scalar_rows() { return {run_rows, pool, route, mix}; }

}  // namespace filbert::cpu
