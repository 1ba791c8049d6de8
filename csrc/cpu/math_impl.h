// exp, tanh and the activations over a vector. Coefficients are minimax fits (Lawson iteration in double precision);
// each comment gives the error of the fit before rounding.
#pragma once

#include "filbert/backend.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Relative error 3e-9. Arguments are clamped to [-87.3, 88.3], so the result is a normal number.
inline Vec exp(Vec x) {
  x = min(set(88.3f), max(set(-87.3f), x));  // in this order a NaN stays one
  const Vec n = round(x * set(1.44269504f));
  Vec r = fma(n, set(-0.693145752f), x);  // ln 2 in two parts: n * high part is exact
  r = fma(n, set(-1.42860677e-6f), r);
  Vec q = fma(set(1.38145988e-3f), r, set(8.36871658e-3f));
  q = fma(q, r, set(4.16683890e-2f));
  q = fma(q, r, set(1.66665211e-1f));
  q = fma(q, r, set(4.99999940e-1f));
  return scale_by_power(fma(r * r, q, r) + set(1.0f), n);
}

inline Vec sigmoid(Vec x) { return set(1.0f) / (set(1.0f) + exp(set(0.0f) - x)); }

// |x| < 0.625: odd polynomial, relative error 4e-9; above: 1 - 2 / (e^2|x| + 1).
inline Vec tanh(Vec x) {
  const Vec a = abs(x);
  const Vec t = x * x;
  Vec p = fma(set(-5.71704423e-3f), t, set(2.06505861e-2f));
  p = fma(p, t, set(-5.37434965e-2f));
  p = fma(p, t, set(1.33314908e-1f));
  p = fma(p, t, set(-3.33332837e-1f));
  const Vec small = fma(p * t, x, x);
  const Vec large = set(1.0f) - set(2.0f) / (exp(a + a) + set(1.0f));
  return select_less(a, set(0.625f), small, copy_sign(large, x));
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|), with Phi(-a) = e^(-a^2/2) R(1 / (1 + 0.3 a)): nothing cancels, so the error
// stays relative to the result on both sides. R has relative error 6e-8 up to a = 13.
inline Vec gelu_erf(Vec x) {
  const Vec a = abs(x);
  const Vec t = set(1.0f) / fma(set(0.3f), a, set(1.0f));
  Vec r = fma(set(3.82709689e-2f), t, set(-1.68643370e-1f));
  r = fma(r, t, set(2.27577642e-1f));
  r = fma(r, t, set(-7.52650946e-2f));
  r = fma(r, t, set(1.41675398e-1f));
  r = fma(r, t, set(9.50512514e-2f));
  r = fma(r, t, set(1.21825852e-1f));
  r = fma(r, t, set(1.19501002e-1f));
  r = fma(r, t, set(6.38285746e-6f));
  const Vec tail = a * r * exp(max(set(-80.0f), set(-0.5f) * a * a));  // a denormal number would cost 150 cycles
  return max(x, set(0.0f)) - tail;
}

// The same for operands of 8 bits of precision, at a third of the cost: x Phi(x) with Phi(x) = 1/2 + x Q(x^2) up
// to 4.4. Absolute error 6e-6 up to there; beyond, 7e-6 of x on the right and 3e-5 on the left.
inline Vec gelu_erf_short(Vec x) {
  const Vec c = min(set(4.4f), max(set(-4.4f), x));
  const Vec v = fma(c * set(0.10330579f), c, set(-1.0f));  // in [-1, 1], where the terms of Q do not cancel
  Vec q = fma(set(-1.23612873e-03f), v, set(3.78709744e-03f));
  q = fma(q, v, set(-5.80017470e-03f));
  q = fma(q, v, set(9.34786784e-03f));
  q = fma(q, v, set(-1.70879103e-02f));
  q = fma(q, v, set(2.75901752e-02f));
  q = fma(q, v, set(-3.98862815e-02f));
  q = fma(q, v, set(5.51344117e-02f));
  q = fma(q, v, set(-7.86211269e-02f));
  q = fma(q, v, set(1.60406939e-01f));
  return max(set(-4.4f), x) * fma(c, q, set(0.5f));
}

inline Vec gelu_tanh(Vec x) {
  const Vec inner = x * fma(set(0.0356774081f) * x, x, set(0.797884561f));
  return set(0.5f) * x * (set(1.0f) + tanh(inner));
}

// tanh(log(1 + e^x)) = (u^2 + 2u) / (u^2 + 2u + 2) with u = e^x; beyond 20 it is 1 in float32.
inline Vec mish(Vec x) {
  const Vec u = exp(min(set(20.0f), x));
  const Vec w = u * (u + set(2.0f));
  return x * (w / (w + set(2.0f)));
}

// Short: results go where their last bits do not count.
template <filbert_activation A, bool Short>
inline Vec activate(Vec x) {
  if constexpr (A == FILBERT_GELU_ERF && Short) return gelu_erf_short(x);
  if constexpr (A == FILBERT_GELU_ERF) return gelu_erf(x);
  if constexpr (A == FILBERT_GELU_TANH) return gelu_tanh(x);
  if constexpr (A == FILBERT_GELU_ERF_CLIP) return min(set(10.0f), max(set(-10.0f), gelu_erf(x)));
  if constexpr (A == FILBERT_QUICK_GELU) return x * sigmoid(set(1.702f) * x);
  if constexpr (A == FILBERT_RELU) return max(set(0.0f), x);
  if constexpr (A == FILBERT_RELU2) return max(set(0.0f), x) * max(set(0.0f), x);
  if constexpr (A == FILBERT_RELU6) return min(set(6.0f), max(set(0.0f), x));
  if constexpr (A == FILBERT_SILU) return x * sigmoid(x);
  if constexpr (A == FILBERT_TANH) return tanh(x);
  if constexpr (A == FILBERT_SIGMOID) return sigmoid(x);
  if constexpr (A == FILBERT_LEAKY_RELU) return max(set(0.0f), x) + set(0.01f) * min(set(0.0f), x);
  if constexpr (A == FILBERT_MISH) return mish(x);
  return x;
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
