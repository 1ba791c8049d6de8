// Products of rows, number by number.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Rows [begin, end), which are in x and out.
inline void multiply(const filbert_multiply_args& args, std::size_t begin, std::size_t end, Strided<const float> x,
                     Strided<float> out) {
  const Vec factor = set(args.factor ? floats_of(args.factor)[0] : 1.0f);
  for (std::size_t row = begin; row < end; ++row) {
    const float* const from = x.row(row - begin);
    const float* const y = args.y ? static_cast<const float*>(args.y) + row * args.width : nullptr;
    float* const to = out.row(row - begin);
    for_each_vector(args.width, [&](std::size_t j, std::size_t lanes) {
      const Vec scaled = factor * load_first(from + j, lanes);
      store_first(to + j, y ? scaled * load_first(y + j, lanes) : scaled, lanes);
    });
  }
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
