// Attention by plain loops.
#include <algorithm>
#include <cmath>

#include "cpu/scalar.h"

namespace filbert::cpu {
namespace {

std::size_t attention_scratch(std::size_t keys, std::size_t) { return keys; }

bool sees(const AttentionTask& task, std::size_t query, std::size_t key) {
  if (!task.relative) return true;
  const auto place = static_cast<std::ptrdiff_t>(key);
  if (task.causal && place > task.first_query + static_cast<std::ptrdiff_t>(query)) return false;
  if (task.window == 0) return true;
  return std::abs(std::int64_t{task.key_columns[key]} - task.query_columns[query]) <= task.window;
}

float bias_of(const AttentionTask& task, std::size_t head, std::size_t query, std::size_t key) {
  const std::int64_t distance = std::int64_t{task.key_columns[key]} - task.query_columns[query];
  const std::int64_t begin = static_cast<std::int64_t>(head) * (2 * task.reach + 1);
  return task.bias[begin + std::clamp(distance, -task.reach, task.reach)];
}

const float* row_of(const HeadRows& heads, std::size_t row, std::size_t head = 0) {
  return static_cast<const float*>(heads.data) + row * heads.stride + head * heads.next_head;
}

// more: what the score of a key has beside q k^T.
template <typename More>
void attend(const AttentionTask& task, std::size_t head, std::size_t query, const More& more) {
  float* p = task.scratch;
  const std::size_t d = task.head_size;
  const float* q = row_of(task.q, query, head);
  float* out = task.out.data + query * task.out.stride + head * d;
  std::size_t begin = 0, end = task.keys;  // columns grow, so what a query sees is a range
  while (begin < end && !sees(task, query, begin)) ++begin;
  while (begin < end && !sees(task, query, end - 1)) --end;
  float top = -INFINITY;
  for (std::size_t key = begin; key < end; ++key) {
    float& score = p[key - begin];
    score = task.scale * (scalar_dot(q, row_of(task.k, key), d) + more(key));
    if (task.bias) score += bias_of(task, head, query, key);
    top = std::fmax(top, score);
  }
  float sum = 0;
  for (std::size_t i = 0; i < end - begin; ++i) {
    p[i] = std::exp(p[i] - top);
    sum += p[i];
  }
  for (std::size_t i = 0; i < end - begin; ++i) p[i] /= sum;
  for (std::size_t j = 0; j < d; ++j) {
    float total = 0;
    for (std::size_t key = begin; key < end; ++key) total += p[key - begin] * row_of(task.v, key)[j];
    out[j] = total;
  }
  if (!task.probabilities) return;
  float* line = task.probabilities + head * task.probability_head_stride + query * task.probability_stride;
  for (std::size_t key = 0; key < task.keys; ++key) line[key] = key >= begin && key < end ? p[key - begin] : 0.0f;
}

void attention(const AttentionTask& task) {
  for (std::size_t head = 0; head < task.heads; ++head)
    for (std::size_t query = 0; query < task.queries; ++query)
      attend(task, head, query, [](std::size_t) { return 0.0f; });
}

std::size_t disentangled_scratch(const DisentangledSizes& most) { return attention_scratch(most.keys, most.head_size); }

void disentangled(const DisentangledTask& task) {
  const AttentionTask& of = task.attention;
  for (std::size_t query = 0; query < of.queries; ++query)
    attend(of, 0, query, [&](std::size_t key) {
      const std::int64_t distance = std::int64_t{of.key_columns[key]} - of.query_columns[query];
      const auto row = static_cast<std::size_t>(task.rows[std::clamp(distance, -task.reach, task.reach)]);
      const auto product = [&](const HeadRows& x, std::size_t token, const HeadRows& table) {
        return table.data ? scalar_dot(row_of(x, token), row_of(table, row), of.head_size) : 0.0f;
      };
      return product(of.q, query, task.position_k) + product(of.k, key, task.position_q);
    });
}

}  // namespace

AttentionKernel scalar_attention() {
  return {attention_scratch, attention, disentangled_scratch, disentangled, nullptr};
}

}  // namespace filbert::cpu
