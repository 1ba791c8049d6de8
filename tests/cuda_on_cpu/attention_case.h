// A batch for attention, its result from the kernels and from plain loops in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "cuda/attention.h"
#include "cuda_on_cpu/machine.h"
#include "floats.h"
#include "typed_array.h"

namespace filbert::testing {

inline constexpr double kUlp = 0x1p-24;

// Around tiles of 32 and 64 keys, and of 64 and 128 queries.
inline const std::vector<std::int32_t> kLengths = {1, 300, 63, 2, 64, 129, 65, 17, 127, 33, 128, 8};

struct Case {
  cuda::Type type;
  std::size_t heads, head_size, hidden, longest = 0, floats = 0;
  bool masked_first;  // the first token of a sequence asks but is not attended, unless it is the only one
  std::vector<std::int32_t> cu = {0}, key_begin;
  std::vector<std::int64_t> offsets;
  std::vector<float> qkv, bias;
  std::vector<std::int32_t> positions;
  std::int32_t window = 0, bias_reach = 0;

  Case(cuda::Type type_, std::size_t size, bool masked, const std::vector<std::int32_t>& lengths = kLengths,
       std::size_t heads_ = 2)
      : type(type_), heads(heads_), head_size(size), hidden(heads * size), masked_first(masked) {
    for (const std::int32_t length : lengths) {
      key_begin.push_back(cu.back() + (masked && length > 1 ? 1 : 0));
      cu.push_back(cu.back() + length);
      offsets.push_back(static_cast<std::int64_t>(floats));
      const auto n = static_cast<std::size_t>(length);
      floats += heads * n * n;
      longest = std::max(longest, n);
    }
    qkv = random_floats(tokens() * 3 * hidden, 5);
    for (float& value : qkv) value = rounded(type, value);
  }
  std::size_t sequences() const { return offsets.size(); }
  std::size_t tokens() const { return static_cast<std::size_t>(cu.back()); }
  // Positions with gaps, as masked tokens leave them. The seed is the sequence's length: it has its positions anywhere.
  void relate(std::int32_t window_, std::int32_t bias_reach_, bool biased) {
    window = window_, bias_reach = bias_reach_;
    positions.clear();
    for (std::size_t s = 0; s < sequences(); ++s) {
      const std::int32_t length = cu[s + 1] - cu[s];
      std::mt19937 generator(static_cast<unsigned>(length));
      std::int32_t position = static_cast<std::int32_t>(generator() % 3);
      for (std::int32_t i = 0; i < length; ++i) {
        positions.push_back(position);
        position += generator() % 7 == 0 ? static_cast<std::int32_t>(generator() % 9) + 2 : 1;
      }
    }
    bias = biased ? random_floats(heads * (2 * static_cast<std::size_t>(bias_reach) + 1), 9) : std::vector<float>();
  }
  bool sees(std::size_t query, std::size_t key) const {
    return window == 0 || std::abs(positions[key] - positions[query]) <= window;
  }
  double bias_of(std::size_t head, std::size_t query, std::size_t key) const {
    if (bias.empty()) return 0;
    const std::int32_t distance = std::clamp(positions[key] - positions[query], -bias_reach, bias_reach);
    return bias[head * (2 * static_cast<std::size_t>(bias_reach) + 1) +
                static_cast<std::size_t>(distance + bias_reach)];
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }

  // The sequences of the order given, as a batch.
  Case pick(const std::vector<std::size_t>& order) const {
    std::vector<std::int32_t> lengths;
    for (const std::size_t s : order) lengths.push_back(cu[s + 1] - cu[s]);
    Case result(type, head_size, masked_first, lengths, heads);
    auto to = result.qkv.begin();
    result.key_begin.clear();
    for (const std::size_t s : order) {
      const auto row = static_cast<std::ptrdiff_t>(3 * hidden);
      result.key_begin.push_back(result.cu[result.key_begin.size()] + key_begin[s] - cu[s]);
      to = std::copy(qkv.begin() + cu[s] * row, qkv.begin() + cu[s + 1] * row, to);
    }
    if (window > 0 || !bias.empty()) result.relate(window, bias_reach, !bias.empty());
    return result;
  }
};

struct Options {
  std::optional<cuda::QueryTile> tile = std::nullopt;  // none: the public function, which chooses
  bool probabilities = false, first_only = false;
  std::size_t shift = 0;  // misaligns qkv and the output
};

struct Result {
  std::vector<float> out, probabilities;
};

inline Result run(const Case& c, const Options& options) {
  const TypedArray qkv(c.type, c.qkv, options.shift);
  const TypedArray out(c.type, (options.first_only ? c.sequences() : c.tokens()) * c.hidden, options.shift);
  const DeviceArray<std::int32_t> cu(c.cu), key_begin(c.key_begin), positions(c.positions);
  const DeviceArray<float> bias(c.bias);
  const DeviceArray<std::int64_t> offsets(c.offsets);
  const DeviceArray<float> probabilities(options.probabilities ? c.floats : 0);
  const cuda::Attention task = {qkv.data(),
                                cu.data(),
                                c.masked_first ? key_begin.data() : nullptr,
                                c.sequences(),
                                c.longest,
                                c.heads,
                                c.head_size,
                                c.scale(),
                                options.first_only,
                                out.data(),
                                options.probabilities ? probabilities.data() : nullptr,
                                options.probabilities ? offsets.data() : nullptr,
                                c.positions.empty() ? nullptr : positions.data(),
                                c.window,
                                c.bias.empty() ? nullptr : bias.data(),
                                c.bias_reach};
  ++cuda_on_cpu::machine().seed;
  REQUIRE((options.tile ? cuda::attention_16bit(c.type, *options.tile, task, nullptr)
                        : cuda::attention(c.type, task, nullptr)) == cudaSuccess);
  return {out.host(), options.probabilities ? probabilities.host() : std::vector<float>()};
}

struct Expected {
  std::vector<double> out, probabilities, weighted;  // weighted: of each number of out, the sum of p |v|
};

inline Expected reference(const Case& c) {
  const std::size_t d = c.head_size, stride = 3 * c.hidden, numbers = c.tokens() * c.hidden;
  Expected result{std::vector<double>(numbers), std::vector<double>(c.floats), std::vector<double>(numbers)};
  for (std::size_t s = 0; s < c.sequences(); ++s)
    for (std::size_t head = 0; head < c.heads; ++head) {
      const auto first = static_cast<std::size_t>(c.cu[s]), stop = static_cast<std::size_t>(c.cu[s + 1]);
      const auto begin = static_cast<std::size_t>(c.key_begin[s]);
      for (std::size_t query = first; query < stop; ++query) {
        const auto row =
            static_cast<std::size_t>(c.offsets[s]) + (head * (stop - first) + query - first) * (stop - first);
        double* p = &result.probabilities[row];
        double total = 0;
        for (std::size_t key = begin; key < stop; ++key) {
          if (!c.sees(query, key)) continue;
          double score = 0;
          for (std::size_t j = head * d; j < (head + 1) * d; ++j)
            score += static_cast<double>(c.qkv[query * stride + j]) * c.qkv[key * stride + c.hidden + j];
          total += p[key - first] = std::exp(score * c.scale() + c.bias_of(head, query, key));
        }
        for (std::size_t key = begin; key < stop; ++key) {
          if (!c.sees(query, key)) continue;
          p[key - first] /= total;
          for (std::size_t j = head * d; j < (head + 1) * d; ++j) {
            const double value = p[key - first] * c.qkv[key * stride + 2 * c.hidden + j];
            result.out[query * c.hidden + j] += value;
            result.weighted[query * c.hidden + j] += std::abs(value);
          }
        }
      }
    }
  return result;
}

// The largest |found - expected| as a share of what it may be. Scores of size 4 round by 4 kUlp, a handful of times;
// e^score carries that over, and probabilities sum to one. A 16-bit type rounds each weight (small ones, under the
// largest of 1, absolutely), and each result.
inline double worst_error(const Case& c, const Expected& expected, const std::vector<float>& found) {
  double worst = found.size() == expected.out.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double size = std::abs(expected.out[i]);
    double allowed = 40 * kUlp * (1 + size) + unit(c.type) * size + smallest(c.type);
    if (c.type != cuda::Type::f32)
      allowed += unit(c.type) * expected.weighted[i] + smallest(c.type) * static_cast<double>(c.longest) * 4;
    const double error = std::abs(found[i] - expected.out[i]) / allowed;
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

inline std::vector<std::optional<cuda::QueryTile>> tiles(cuda::Type type) {
  if (type == cuda::Type::f32) return {std::nullopt};
  return {cuda::QueryTile::t64, cuda::QueryTile::t128, std::nullopt};
}

}  // namespace filbert::testing
