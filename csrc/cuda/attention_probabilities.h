// probabilities [heads, length, length] of each sequence: softmax of the scores, zero for keys that are not seen; the
// rows of queries that do not ask stay as they are. Asked for by those who look at attention, so plain: a warp has one
// query, a lane every 32nd key, and rows are rewritten in place three times (scores, exponentials, quotients), each
// number by the lane that wrote it.
#pragma once

#include <cmath>

#include "cuda/attention_relative.h"
#include "cuda/launch.h"

namespace filbert::cuda {

inline constexpr int kProbabilityWarps = 4;

// more(query, key, head), both tokens: what a score has beside q k^T.
template <typename T, bool Relative, typename More>
__global__ void __launch_bounds__(32 * kProbabilityWarps) probabilities_kernel(Attention task, More more) {
  let_next_start();
  const auto [s, head, kv_head, of, first_query] = share(task, kProbabilityWarps);
  wait_for_previous();
  const int query = first_query + static_cast<int>(threadIdx.x / 32);
  if (query >= of.queries) return;

  const auto lane = static_cast<int>(threadIdx.x % 32);
  const int first_key = static_cast<int>(of.first_key - of.first), end_key = first_key + of.keys, length = of.length;
  const std::size_t row = head * static_cast<std::size_t>(length) + static_cast<std::size_t>(of.place + query);
  float* p = task.probabilities + task.probability_offsets[s] + row * static_cast<std::size_t>(length);
  const T* q = head_of<T>(task.q, of.asking(query), head, task.head_size);

  float top = -INFINITY;
  for (int key = lane; key < length; key += 32) {
    float score = 0.0f;
    if (key >= first_key && key < end_key) {
      const std::size_t token = of.first + static_cast<std::size_t>(key);
      const T* k = head_of<T>(task.k, token, kv_head, task.head_size);
      for (std::size_t d = 0; d < task.head_size; ++d) score = fmaf(to_float(q[d]), to_float(k[d]), score);
      score = (score + more(of.asking(query), token, head)) * task.scale;
      if constexpr (Relative) {
        const int distance = task.batch.columns[token] - task.batch.columns[of.asking(query)];
        score = Relation(task, head).apply(score, distance, 1.0f);
      }
      top = fmaxf(top, score);
    }
    p[key] = score;
  }
  for (int mask = 16; mask > 0; mask /= 2) top = fmaxf(top, shuffle_xor(top, mask));
  const float base = finite_top<Relative>(top);
  float sum = 0.0f;
  for (int key = lane; key < length; key += 32) {
    p[key] = key < first_key || key >= end_key ? 0.0f : expf(p[key] - base);
    sum += p[key];
  }
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (sum == 0.0f) return;  // no key is seen
  for (int key = lane; key < length; key += 32) p[key] /= sum;
}

template <typename T, bool Relative, typename More>
cudaError_t start_probabilities(const Attention& task, const More& more, cudaStream_t stream) {
  return launch(probabilities_kernel<T, Relative, More>, attention_grid(task, kProbabilityWarps),
                dim3(32 * kProbabilityWarps), 0, stream, task, more);
}

}  // namespace filbert::cuda
