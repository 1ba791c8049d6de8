// A mixture of experts, in plain loops and double precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "floats.h"

namespace filbert::testing {

struct ExpertsData {
  std::size_t tokens, width, inner, experts, top_k;
  std::vector<float> x, residual, router, bias;
  std::vector<std::vector<float>> up, down;  // of each expert

  ExpertsData(std::size_t tokens_, std::size_t width_, std::size_t inner_, std::size_t experts_, std::size_t top_k_)
      : tokens(tokens_),
        width(width_),
        inner(inner_),
        experts(experts_),
        top_k(top_k_),
        x(random_floats(tokens * width, 1)),
        residual(random_floats(tokens * width, 2)),
        router(random_floats(experts * width, 3, 1.0f / std::sqrt(static_cast<float>(width)))),
        bias(random_floats(width, 4)) {
    for (std::size_t e = 0; e < experts; ++e) {
      const auto seed = static_cast<unsigned>(5 + 2 * e);
      up.push_back(random_floats(inner * width, seed, 1.0f / std::sqrt(static_cast<float>(width))));
      down.push_back(random_floats(width * inner, seed + 1, 1.0f / std::sqrt(static_cast<float>(inner))));
    }
  }

  // [experts] what each counts for a token, 0 where it was not chosen.
  std::vector<double> shares(std::size_t token) const {
    std::vector<double> p(experts), chosen(experts);
    double sum = 0;
    for (std::size_t e = 0; e < experts; ++e) sum += p[e] = std::exp(dot(&x[token * width], &router[e * width], width));
    for (std::size_t e = 0; e < experts; ++e) {
      std::size_t before = 0;  // those that are larger, or as large and earlier
      for (std::size_t other = 0; other < experts; ++other)
        before += p[other] > p[e] || (p[other] == p[e] && other < e);
      if (before < top_k) chosen[e] = p[e] / sum;
    }
    return chosen;
  }

  // [width] down gelu(up x) of one expert.
  std::vector<double> given(std::size_t expert, std::size_t token) const {
    std::vector<double> hidden(inner), out(width);
    for (std::size_t i = 0; i < inner; ++i) {
      const double v = dot(&x[token * width], &up[expert][i * width], width);
      hidden[i] = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
    }
    for (std::size_t j = 0; j < width; ++j)
      for (std::size_t i = 0; i < inner; ++i) out[j] += hidden[i] * down[expert][j * inner + i];
    return out;
  }

  // [tokens, width]; given(expert, token): what an expert makes of a token.
  template <typename Given>
  std::vector<float> expected(const Given& by) const {
    std::vector<float> out;
    for (std::size_t token = 0; token < tokens; ++token) {
      std::vector<double> sum(width);
      const std::vector<double> own = shares(token);
      for (std::size_t e = 0; e < experts; ++e) {
        if (own[e] == 0) continue;
        const auto more = by(e, token);
        for (std::size_t j = 0; j < width; ++j) sum[j] += own[e] * static_cast<double>(more[j]);
      }
      for (std::size_t j = 0; j < width; ++j)
        out.push_back(static_cast<float>(sum[j] + bias[j] + residual[token * width + j]));
    }
    return out;
  }
  std::vector<float> expected() const {
    return expected([this](std::size_t expert, std::size_t token) { return given(expert, token); });
  }
};

}  // namespace filbert::testing
