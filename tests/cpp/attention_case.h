// A batch for the attention op, and what the op should give for it, by plain loops in double precision.
#pragma once

#include <cstdint>

#include "cpu/convert.h"
#include "op_case.h"

namespace filbert::testing {

// Every length around a vector, a tile and the share of one thread, in one batch.
inline const std::vector<std::int32_t> kLengths = {1, 160, 2, 15, 129, 16, 17, 64, 33};

struct AttentionShape {
  std::size_t head_size, heads = 2, kv_heads = 2;
  bool causal = false;
  std::size_t window = 0;
  std::size_t reach = 0;      // of a bias; 0: none
  bool masked_first = false;  // the first token of a sequence asks but is not attended, unless it is the only one
  bool holes = false;         // columns are missing
  bool masked_last = false;   // the last third of a sequence is query-only

  bool relative() const { return causal || window > 0 || reach > 0; }
};

// Queries [tokens, heads, head_size] apart from keys and values, [tokens, 2, kv_heads, head_size], which have a head
// before them.
struct AttentionData {
  AttentionShape shape;
  std::size_t longest = 0, floats = 0;
  std::vector<std::int32_t> cu = {0}, key_begin, key_end, columns;
  std::vector<std::int64_t> offsets;
  std::vector<float> q, kv, bias;

  AttentionData(const AttentionShape& of, const std::vector<std::int32_t>& lengths = kLengths, unsigned seed = 5)
      : shape(of) {
    std::mt19937 generator(seed);
    for (const std::int32_t length : lengths) {
      key_begin.push_back(cu.back() + (shape.masked_first && length > 1 ? 1 : 0));
      cu.push_back(cu.back() + length);
      key_end.push_back(cu.back() - (shape.masked_last && length > 2 ? length / 3 : 0));
      offsets.push_back(static_cast<std::int64_t>(floats));
      const auto n = static_cast<std::size_t>(length);
      floats += shape.heads * n * n;
      longest = std::max(longest, n);
      std::int32_t column = 0;
      for (std::size_t i = 0; i < n; ++i) {
        columns.push_back(column);
        column += shape.holes ? 1 + static_cast<std::int32_t>(generator() % 3) : 1;
      }
    }
    q = random_floats(tokens() * width(), seed);
    kv = random_floats(tokens() * kv_width(), seed + 1);
    bias = random_floats(shape.reach > 0 ? shape.heads * (2 * shape.reach + 1) : 0, seed + 2, 2.0f);
  }
  std::size_t sequences() const { return offsets.size(); }
  std::size_t tokens() const { return static_cast<std::size_t>(cu.back()); }
  std::size_t width() const { return shape.heads * shape.head_size; }
  std::size_t kv_width() const { return (1 + 2 * shape.kv_heads) * shape.head_size; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.head_size)); }

  // Gives each sequence the numbers that one of its length has in a batch of its own.
  void take_sequences_of(const std::vector<std::int32_t>& lengths) {
    std::ptrdiff_t token = 0;
    for (const std::int32_t length : lengths) {
      const AttentionData own(shape, {length}, static_cast<unsigned>(length));
      std::copy(own.q.begin(), own.q.end(), q.begin() + token * static_cast<std::ptrdiff_t>(width()));
      std::copy(own.kv.begin(), own.kv.end(), kv.begin() + token * static_cast<std::ptrdiff_t>(kv_width()));
      std::copy(own.columns.begin(), own.columns.end(), columns.begin() + token);
      token += length;
    }
  }

  float* query(std::size_t token, std::size_t head) { return &q[token * width() + head * shape.head_size]; }
  float* key(std::size_t token, std::size_t kv_head) {
    return &kv[token * kv_width() + (1 + kv_head) * shape.head_size];
  }
  float* value(std::size_t token, std::size_t kv_head) { return key(token, shape.kv_heads + kv_head); }
};

struct AttentionResult {
  std::vector<float> out, probabilities;
};

// What call(args) computes.
template <typename Call>
AttentionResult run_as(const IsaOps& ops, AttentionData& data, bool probabilities, filbert_rows rows,
                       const Call& call) {
  const AttentionShape& shape = data.shape;
  const std::size_t asking = rows == FILBERT_ROWS_ALL ? data.tokens() : data.sequences();
  AttentionResult result{std::vector<float>(asking * data.width(), NAN),
                         std::vector<float>(probabilities ? data.floats : 0, NAN)};
  const filbert_batch batch = {data.cu.data(),
                               shape.masked_first ? data.key_begin.data() : nullptr,
                               data.columns.data(),
                               data.sequences(),
                               data.longest,
                               shape.masked_last ? data.key_end.data() : nullptr,
                               {}};
  const WeightPtr bias = shape.reach > 0 ? load(ops, FILBERT_VECTOR, data.bias, data.bias.size()) : nullptr;
  std::vector<float> q = as_heads(ops.of, data.q, data.width(), shape.head_size);
  std::vector<float> kv = as_heads(ops.of, data.kv, data.kv_width(), shape.head_size);
  filbert_attention_args args = {};
  args.batch = &batch;
  args.q = {q.data(), data.width(), 0, data.tokens()};
  args.k = {kv.data(), data.kv_width(), shape.head_size, data.tokens()};
  args.v = {kv.data(), data.kv_width(), (1 + shape.kv_heads) * shape.head_size, data.tokens()};
  args.heads = shape.heads;
  args.kv_heads = shape.kv_heads;
  args.head_size = shape.head_size;
  args.scale = data.scale();
  args.causal = shape.causal;
  args.window = shape.window;
  args.bias = bias.get();
  args.bias_reach = shape.reach;
  args.rows = rows;
  args.out = result.out.data();
  if (probabilities) {
    args.probabilities = result.probabilities.data();
    args.probability_offsets = data.offsets.data();
  }
  call(args);
  return result;
}

inline AttentionResult run(const IsaOps& ops, AttentionData& data, bool probabilities,
                           filbert_rows rows = FILBERT_ROWS_ALL) {
  return run_as(ops, data, probabilities, rows, [&](const filbert_attention_args& args) { ops.attention(args); });
}

struct Expected {
  std::vector<float> out, probabilities;
  std::vector<double> weighted;  // of each number of out: the sum of p |v|
};

inline void round_to_bf16(std::vector<float>& numbers) {
  for (float& value : numbers) value = cpu::bf16_to_float(cpu::float_to_bf16(value));
}

// sums += p v, weighted += p |v|
inline void add(double p, const float* v, std::size_t d, double* sums, double* weighted) {
  for (std::size_t j = 0; p > 0 && j < d; ++j) {
    sums[j] += p * v[j];
    weighted[j] += p * std::abs(static_cast<double>(v[j]));
  }
}

// With bf16, of q, k and v rounded to it. Probabilities of tokens that are no keys are NaN: nothing is written there.
// more(data, query, key, head): what a score has beside q k^T.
template <typename More>
Expected reference(AttentionData data, bool bf16, float scale, const More& more) {
  if (bf16)
    for (auto* numbers : {&data.q, &data.kv}) round_to_bf16(*numbers);
  const AttentionShape& shape = data.shape;
  const std::size_t d = shape.head_size, group = shape.heads / shape.kv_heads;
  const auto reach = static_cast<std::int64_t>(shape.reach);
  Expected result{std::vector<float>(data.tokens() * data.width()), std::vector<float>(data.floats, NAN),
                  std::vector<double>(data.tokens() * data.width())};
  for (std::size_t s = 0; s < data.sequences(); ++s)
    for (std::size_t head = 0; head < shape.heads; ++head) {
      const auto first = static_cast<std::size_t>(data.cu[s]), stop = static_cast<std::size_t>(data.cu[s + 1]);
      const auto begin = static_cast<std::size_t>(data.key_begin[s]);
      const auto end = static_cast<std::size_t>(data.key_end[s]);
      const std::size_t length = stop - first;
      for (std::size_t q = first; q < stop; ++q) {
        const float* const query = data.query(q, head);
        std::vector<double> p(end - begin, 0.0), sums(d, 0.0), weighted(d, 0.0);
        double total = 0;
        for (std::size_t key = begin; key < end; ++key) {
          const std::int64_t distance = std::int64_t{data.columns[key]} - data.columns[q];
          if (shape.causal && key > q) continue;
          if (shape.window > 0 && std::abs(distance) > static_cast<std::int64_t>(shape.window)) continue;
          double score = (dot(query, data.key(key, head / group), d) + more(data, q, key, head)) * scale;
          if (reach > 0) {
            const std::int64_t at = std::clamp(distance, -reach, reach) + reach;
            score += data.bias[head * (2 * shape.reach + 1) + static_cast<std::size_t>(at)];
          }
          total += p[key - begin] = std::exp(score);
        }
        for (std::size_t key = begin; key < end; ++key) {
          if (total > 0) p[key - begin] /= total;
          const auto row = static_cast<std::size_t>(data.offsets[s]) + (head * length + q - first) * length;
          result.probabilities[row + key - first] = static_cast<float>(p[key - begin]);
          add(p[key - begin], data.value(key, head / group), d, sums.data(), weighted.data());
        }
        for (std::size_t j = 0; j < d; ++j) {
          result.out[q * data.width() + head * d + j] = static_cast<float>(sums[j]);
          result.weighted[q * data.width() + head * d + j] = weighted[j];
        }
      }
    }
  return result;
}

inline Expected reference(const AttentionData& data, bool bf16) {
  return reference(data, bf16, data.scale(), [](const auto&...) { return 0.0; });
}

inline bool attends_in_bf16(const std::string& isa, filbert_dtype dtype) {
  return kernels_of(isa).multiplies_bf16 && dtype != FILBERT_F32;
}

// The largest error as a share of what it may be. Probabilities sum to one, so float sums do not grow with the length.
// Scores of size 4 (with a bias 8) round by as many kUlp, a handful of times; e^score carries that over. Where q, k and
// v are bfloat16, so are the numerators of the probabilities in the weighted sum: off by up to 2^-8.
inline double worst_error(const AttentionResult& found, const Expected& expected, bool bf16, bool biased) {
  const double of_float = (biased ? 80 : 40) * kUlp;
  double worst = 0;
  const auto compare = [&](double a, double b, double allowed) {
    const double error = std::isnan(a) && std::isnan(b) ? 0 : std::abs(a - b) / allowed;
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  };
  for (std::size_t i = 0; i < found.probabilities.size(); ++i)
    compare(found.probabilities[i], expected.probabilities[i], of_float);
  for (std::size_t i = 0; i < found.out.size(); ++i)
    compare(
        found.out[i], expected.out[i],
        of_float * (1 + std::abs(static_cast<double>(expected.out[i]))) + (bf16 ? 0x1p-8 * expected.weighted[i] : 0));
  return worst;
}

}  // namespace filbert::testing
