// The activation functions of the op table on one float32 number. All but erf GELU are rare enough for plain formulas.
#pragma once

#include <cmath>

#include "cuda/ptx.h"
#include "filbert/backend.h"

namespace filbert::cuda {

// x Phi(x) = max(x, 0) - |x| Phi(-|x|), where log2 Phi(-a) is a polynomial: nothing cancels, and there is neither a
// division nor a branch. A minimax fit (Lawson iteration in double precision), evaluated in float32: the error is below
// 6e-8, and below 6e-6 of the result down to x = -5. Beyond 7, where a Phi(-a) < 1e-11, it stays what it is at 7.
// Hendrycks and Gimpel, arXiv:1606.08415.
// Of several numbers step by step together, so that none waits for its own chain.
template <int N>
__device__ __forceinline__ void gelu_erf(float (&x)[N]) {
  constexpr float kFit[] = {3.52393508e-5f,  -1.38521151e-4f, -2.96876417e-4f, 7.32334331e-3f,
                            -5.27125224e-2f, -4.59122449e-1f, -1.15111804f,    -9.99999642e-1f};
  float a[N], p[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float size = fabsf(x[i]);
    a[i] = size > 7.0f ? 7.0f : size;  // in this order a NaN stays one
    p[i] = fmaf(1.57637899e-7f, a[i], -3.73094485e-6f);
  }
#pragma unroll
  for (const float coefficient : kFit)
#pragma unroll
    for (int i = 0; i < N; ++i) p[i] = fmaf(p[i], a[i], coefficient);
#pragma unroll
  for (int i = 0; i < N; ++i) p[i] = exp2_approx(p[i]);
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = fmaf(-a[i], p[i], fmaxf(x[i], 0.0f));
}

__device__ __forceinline__ float gelu_erf(float x) {
  float one[1] = {x};
  gelu_erf(one);
  return one[0];
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// tanh(log(1 + e^x)) = (u^2 + 2u) / (u^2 + 2u + 2) with u = e^x; beyond 20 it is 1 in float32.
__device__ __forceinline__ float mish(float x) {
  const float u = expf(x > 20.0f ? 20.0f : x);
  const float w = u * (u + 2.0f);
  return x * (w / (w + 2.0f));
}

// What no comparison holds for, a NaN, comes through each.
__device__ inline float activate(filbert_activation activation, float x) {
  switch (activation) {
    case FILBERT_GELU_ERF:
      return gelu_erf(x);
    case FILBERT_GELU_TANH:
      return 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
    case FILBERT_GELU_ERF_CLIP: {
      const float y = gelu_erf(x);
      return y > 10.0f ? 10.0f : y;  // it is never below -0.17
    }
    case FILBERT_QUICK_GELU:
      return x * sigmoid(1.702f * x);
    case FILBERT_RELU:
      return x < 0.0f ? 0.0f : x;
    case FILBERT_RELU2:
      return x < 0.0f ? 0.0f : x * x;
    case FILBERT_RELU6:
      return x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x);
    case FILBERT_SILU:
      return x * sigmoid(x);
    case FILBERT_TANH:
      return tanhf(x);
    case FILBERT_SIGMOID:
      return sigmoid(x);
    case FILBERT_LEAKY_RELU:
      return x < 0.0f ? 0.01f * x : x;
    case FILBERT_MISH:
      return mish(x);
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return x;
}

}  // namespace filbert::cuda
