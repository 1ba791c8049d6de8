// Sums of rows of the tables.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline void embed(const filbert_embed_args& args, std::size_t begin, std::size_t end, Strided<float> out) {
  const std::size_t n = args.width;
  const float* const words = floats_of(args.word);
  const float* const types = floats_of(args.type);
  const float* const positions = floats_of(args.position);
  const auto row_of = [n](const float* table, std::int32_t index) {
    return table ? table + static_cast<std::size_t>(index) * n : nullptr;
  };
  for (std::size_t row = begin; row < end; ++row) {
    float* const to = out.row(row - begin);
    const Vec scale = set(args.word_scales ? args.word_scale * args.word_scales[row] : args.word_scale);
    const float* word = row_of(words, args.ids[row]);
    const float* type = row_of(types, args.types[row]);
    const float* position = row_of(positions, args.positions[row]);
    for_each_vector(n, [&](std::size_t j, std::size_t lanes) {
      Vec v = word ? load_first(word + j, lanes) * scale : set(0.0f);
      if (type) v = v + load_first(type + j, lanes);
      if (position) v = v + load_first(position + j, lanes);
      store_first(to + j, v, lanes);
    });
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
