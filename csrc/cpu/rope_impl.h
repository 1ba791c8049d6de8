// Rotary positions: the angles of a row are computed once, a vector of them at a time, for all of its heads.
#pragma once

#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Of angles up to 2^24, with an error of about 1e-7: minimax fits on [-pi / 4, pi / 4], and how many quarters of a turn
// they are from there.
inline void cosine_and_sine(Vec angle, Vec& cosine, Vec& sine) {
  const Vec per_quarter = set(0.636619772f);
  const Vec high = set(-0x1.921fb4p0f);  // -pi / 2 in two parts: products of the first are exact, or nearly
  const Vec low = set(-0x1.4442d2p-24f);
  Vec quarters = round(angle * per_quarter);
  Vec r = fma(quarters, low, fma(quarters, high, angle));
  const Vec more = round(r * per_quarter);  // of a large angle the first number of them may be off by one
  r = fma(more, low, fma(more, high, r));
  quarters = quarters + more;
  const Vec square = r * r;
  Vec s = fma(set(-1.9507846e-4f), square, set(8.332106e-3f));
  s = fma(s, square, set(-0.16666654f));
  s = fma(s * square, r, r);
  Vec c = fma(set(2.4430661e-5f), square, set(-1.3887301e-3f));
  c = fma(c, square, set(4.1666646e-2f));
  c = fma(c, square, set(-0.5f));
  c = fma(c, square, set(1.0f));
  const Vec turned = fma(round(quarters * set(0.25f)), set(-4.0f), quarters);  // -2 to 2
  const Vec across = abs(turned);
  const Vec half = set(0.5f);
  const Vec odd_cosine = select_less(turned, set(0.0f), s, set(0.0f) - s);
  const Vec odd_sine = select_less(turned, set(0.0f), set(0.0f) - c, c);
  const Vec far = set(1.5f);
  cosine = select_less(across, half, c, select_less(across, far, odd_cosine, set(0.0f) - c));
  sine = select_less(across, half, s, select_less(across, far, odd_sine, set(0.0f) - s));
}

// Rows [begin, end), which are in x.
inline void rope(const filbert_rope_args& args, std::size_t begin, std::size_t end, Strided<float> x) {
  const std::size_t half = args.rotary / 2;
  const float* const frequencies = floats_of(args.frequencies);
  for (std::size_t row = begin; row < end; ++row) {
    float* const heads = x.row(row - begin) + args.heads.column;
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
