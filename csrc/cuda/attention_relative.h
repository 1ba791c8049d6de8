// What the distance from a query to a key, in columns, does to their score. Columns grow within a sequence, so that a
// key after the query is one at a distance above 0. Kernels take a parameter `Relative`, so that attention with neither
// window nor bias, and not causal, pays nothing for it.
#pragma once

#include <climits>

#include "cuda/attention.h"

namespace filbert::cuda {

inline bool is_relative(const Attention& task) { return task.window > 0 || task.causal || task.bias; }

// What relates queries to keys by their distance, for one head.
struct Relation {
  const float* bias;  // of distance 0, or null
  int reach, behind, ahead;

  __device__ __forceinline__ Relation(const Attention& task, std::size_t head)
      : bias(nullptr),
        reach(task.bias_reach),
        behind(task.window > 0 ? task.window : INT_MAX),
        ahead(task.causal ? 0 : behind) {
    const std::size_t width = 2 * static_cast<std::size_t>(reach) + 1;
    if (task.bias) bias = task.bias + head * width + reach;
  }

  // `unit`: what a bias of 1 adds. A key that is not seen is absent, whatever its score, NaN too.
  __device__ __forceinline__ float apply(float score, int distance, float unit) const {
    if (bias) score = fmaf(bias[distance < -reach ? -reach : distance > reach ? reach : distance], unit, score);
    return distance <= ahead && distance >= -behind ? score : -INFINITY;
  }
};

// Keys, counted from the sequence's first.
struct KeyRange {
  int begin, end;
};

// The tiles of `tile` keys outside of which none of the `rows` tokens from `place` in the sequence on sees a key:
// columns grow by at least one a token, so that no key within the window is further away in tokens. It does not hang on
// which of the rows ask.
__device__ __forceinline__ KeyRange keys_in_sight(const Attention& task, const Sequence& of, int place, int rows,
                                                  int tile) {
  const int no_keys = static_cast<int>(of.first_key - of.first);
  const int window = task.window > 0 && task.window < of.length ? task.window : of.length;
  const int begin = place - window - no_keys, end = place + rows + (task.causal ? 0 : window) - no_keys;
  return {begin > 0 ? begin / tile * tile : 0, end < of.keys ? end : of.keys};
}

// The largest score so far, to subtract from others; 0 where there is none yet, for of two infinities comes a NaN.
template <bool Relative>
__device__ __forceinline__ float finite_top(float top) {
  return Relative && top == -INFINITY ? 0.0f : top;
}

}  // namespace filbert::cuda
