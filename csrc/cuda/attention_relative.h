// What the distance between a key and a query, in positions, does to their score. Kernels take a parameter `Relative`,
// so that attention with neither window nor bias pays nothing for it.
#pragma once

#include <climits>

#include "cuda/attention.h"

namespace filbert::cuda {

inline bool is_relative(const Attention& task) { return task.window > 0 || task.bias; }

// What relates queries to keys by their distance, for one head.
struct Relation {
  const float* bias;  // of distance 0, or null
  int reach, window;

  __device__ __forceinline__ Relation(const Attention& task, std::size_t head)
      : bias(nullptr), reach(task.bias_reach), window(task.window > 0 ? task.window : INT_MAX) {
    const std::size_t width = 2 * static_cast<std::size_t>(reach) + 1;
    if (task.bias) bias = task.bias + head * width + reach;
  }

  // `unit`: what a bias of 1 adds. A key outside the window is absent, whatever its score, NaN too.
  __device__ __forceinline__ float apply(float score, int distance, float unit) const {
    if (bias) score = fmaf(bias[distance < -reach ? -reach : distance > reach ? reach : distance], unit, score);
    return distance <= window && distance >= -window ? score : -INFINITY;
  }
};

// Keys, counted from the sequence's first.
struct KeyRange {
  int begin, end;
};

// The tiles of `tile` keys outside of which none of `rows` tokens, from `query` on, sees a key: positions grow by at
// least one a token, so that no key within the window is further away in tokens. It does not hang on which of the
// rows ask.
__device__ __forceinline__ KeyRange keys_in_window(const Attention& task, const Sequence& of, int query, int rows,
                                                   int tile) {
  const int no_keys = static_cast<int>(of.first_key - of.first), length = no_keys + of.keys;
  if (task.window <= 0 || task.window >= length) return {0, of.keys};
  const int begin = query - task.window - no_keys, end = query + rows + task.window - no_keys;
  return {begin > 0 ? begin / tile * tile : 0, end < of.keys ? end : of.keys};
}

// The largest score so far, to subtract from others; 0 where there is none yet, for of two infinities comes a NaN.
template <bool Relative>
__device__ __forceinline__ float finite_top(float top) {
  return Relative && top == -INFINITY ? 0.0f : top;
}

}  // namespace filbert::cuda
