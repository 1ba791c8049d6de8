// What a mixture of experts computes beside products of matrices.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline void route(const float* x, const float* router, std::size_t experts, std::size_t width, float* out) {
  float top = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    Vec sum = set(0.0f);
    for_each_vector(width, [&](std::size_t j, std::size_t lanes) {
      sum = fma(load_first(x + j, lanes), load_first(router + e * width + j, lanes), sum);
    });
    out[e] = reduce_add(sum);
    if (e == 0 || out[e] > top) top = out[e];
  }
  Vec sum = set(0.0f);
  for_each_vector(experts, [&](std::size_t j, std::size_t lanes) {
    const Vec power = exp(load_first(out + j, lanes) - set(top));
    sum = sum + keep_first(power, lanes);
    store_first(out + j, power, lanes);
  });
  const Vec total = set(reduce_add(sum));
  for_each_vector(experts, [&](std::size_t j, std::size_t lanes) {
    store_first(out + j, load_first(out + j, lanes) / total, lanes);
  });
}

inline void mix(const MixTask& task) {
  for_each_vector(task.width, [&](std::size_t j, std::size_t lanes) {
    Vec sum = set(0.0f);
    for (std::size_t i = 0; i < task.count; ++i) {
      const float* const row = task.results + static_cast<std::size_t>(task.rows[i]) * task.width;
      sum = fma(set(task.shares[i]), load_first(row + j, lanes), sum);
    }
    store_first(task.out + j, sum + load_first(task.bias + j, lanes) + load_first(task.residual + j, lanes), lanes);
  });
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
