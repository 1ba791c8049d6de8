// probabilities [heads, length, length] of each sequence: softmax(scale q k^T + bias), zero for keys that are not seen;
// the rows of queries that do not ask stay as they are. Asked for by those who look at attention, so plain: a warp has
// one query, a lane every 32nd key, and rows are rewritten in place three times (scores, exponentials, quotients), each
// number by the lane that wrote it.
#include <cmath>

#include "cuda/attention_relative.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4;

template <typename T, bool Relative>
__global__ void __launch_bounds__(32 * kWarps) probabilities_kernel(Attention task) {
  const auto [s, head, kv_head, of, first_query] = share(task, kWarps);
  const int query = first_query + static_cast<int>(threadIdx.x / 32);
  if (query >= of.queries) return;

  const auto lane = static_cast<int>(threadIdx.x % 32);
  const int no_keys = static_cast<int>(of.first_key - of.first), length = no_keys + of.keys;
  const std::size_t row = head * static_cast<std::size_t>(length) + static_cast<std::size_t>(of.place + query);
  float* p = task.probabilities + task.probability_offsets[s] + row * static_cast<std::size_t>(length);
  const T* q = head_of<T>(task.q, of.asking(query), head, task.head_size);

  float top = -INFINITY;
  for (int key = lane; key < length; key += 32) {
    float score = 0.0f;
    if (key >= no_keys) {
      const T* k = head_of<T>(task.k, of.first + static_cast<std::size_t>(key), kv_head, task.head_size);
      for (std::size_t d = 0; d < task.head_size; ++d) score = fmaf(to_float(q[d]), to_float(k[d]), score);
      score *= task.scale;
      if constexpr (Relative) {
        const std::int32_t* columns = task.batch.columns;
        const int distance = columns[of.first + static_cast<std::size_t>(key)] - columns[of.asking(query)];
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
    p[key] = key < no_keys ? 0.0f : expf(p[key] - base);
    sum += p[key];
  }
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (sum == 0.0f) return;  // no key is seen
  for (int key = lane; key < length; key += 32) p[key] /= sum;
}

template <typename T>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  return launch(is_relative(task) ? probabilities_kernel<T, true> : probabilities_kernel<T, false>,
                attention_grid(task, kWarps), dim3(32 * kWarps), 0, stream, task);
}

}  // namespace

cudaError_t attention_probabilities(Type type, const Attention& task, cudaStream_t stream) {
  if (type == Type::f32) return start<float>(task, stream);
  return type == Type::bf16 ? start<Bf16>(task, stream) : start<F16>(task, stream);
}

}  // namespace filbert::cuda
