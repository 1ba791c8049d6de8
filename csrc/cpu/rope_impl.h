// Rotary positions: the angles of a row are computed once, a vector of them at a time, for all of its heads.
#pragma once

#include "cpu/math_impl.h"
#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline void rope(const filbert_rope_args& args, std::size_t begin, std::size_t end) {
  const std::size_t half = args.rotary / 2;
  const float* const frequencies = floats_of(args.frequencies);
  for (std::size_t row = begin; row < end; ++row) {
    float* const heads = static_cast<float*>(args.heads.x) + row * args.heads.width + args.heads.column;
    const Vec position = set(static_cast<float>(args.positions[row]));
    for_each_vector(half, [&](std::size_t j, std::size_t lanes) {
      Vec cosine, sine;
      cosine_and_sine(position * load_first(frequencies + j, lanes), cosine, sine);
      for (std::size_t head = 0; head < args.count; ++head) {
        float* const low = heads + head * args.head_size + j;
        float* const high = low + half;
        const Vec a = load_first(low, lanes);
        const Vec b = load_first(high, lanes);
        store_first(low, fma(a, cosine, set(0.0f) - b * sine), lanes);
        store_first(high, fma(b, cosine, a * sine), lanes);
      }
    });
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
