// A batch for attention, its result from the kernels and from plain loops in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "cuda/attention.h"
#include "cuda_on_cpu/machine.h"
#include "engine/query_tiles.h"
#include "floats.h"
#include "typed_array.h"

namespace filbert::testing {

inline constexpr double kUlp = 0x1p-24;

// Around tiles of 32 and 64 keys, and of 64 and 128 queries.
inline const std::vector<std::int32_t> kLengths = {1, 200, 63, 2, 64, 129, 65, 17, 33, 128, 8};

struct Case {
  cuda::Type type;
  std::size_t heads, kv_heads, head_size, hidden, kv_hidden, longest = 0, floats = 0;
  bool masked;  // the first token and the last third of a sequence ask but are not attended, unless it is short
  std::vector<std::int32_t> cu = {0}, key_begin, key_end;
  std::vector<std::int64_t> offsets;
  std::vector<float> q, k, v, bias;  // [tokens, hidden], [tokens, kv_hidden] twice
  std::vector<std::int32_t> columns;
  std::int32_t window = 0, bias_reach = 0;
  bool causal = false;

  Case(cuda::Type type_, std::size_t size, bool masked_, const std::vector<std::int32_t>& lengths = kLengths,
       std::size_t heads_ = 2, std::size_t sharing = 1)
      : type(type_),
        heads(heads_),
        kv_heads(heads / sharing),
        head_size(size),
        hidden(heads * size),
        kv_hidden(kv_heads * size),
        masked(masked_) {
    for (const std::int32_t length : lengths) {
      key_begin.push_back(cu.back() + (masked && length > 1 ? 1 : 0));
      cu.push_back(cu.back() + length);
      key_end.push_back(cu.back() - (masked && length > 2 ? length / 3 : 0));
      offsets.push_back(static_cast<std::int64_t>(floats));
      const auto n = static_cast<std::size_t>(length);
      floats += heads * n * n;
      longest = std::max(longest, n);
    }
    q = random_floats(tokens() * hidden, 5);
    k = random_floats(tokens() * kv_hidden, 6);
    v = random_floats(tokens() * kv_hidden, 7);
    for (std::vector<float>* part : {&q, &k, &v})
      for (float& value : *part) value = rounded(type, value);
  }
  std::size_t sequences() const { return offsets.size(); }
  std::size_t tokens() const { return static_cast<std::size_t>(cu.back()); }
  // Columns with gaps, as masked tokens leave them. The seed is the sequence's length: it has its columns anywhere.
  void relate(std::int32_t window_, std::int32_t bias_reach_, bool biased, bool causal_ = false) {
    window = window_, bias_reach = bias_reach_, causal = causal_;
    columns.clear();
    for (std::size_t s = 0; s < sequences(); ++s) {
      const std::int32_t length = cu[s + 1] - cu[s];
      std::mt19937 generator(static_cast<unsigned>(length));
      std::int32_t column = static_cast<std::int32_t>(generator() % 3);
      for (std::int32_t i = 0; i < length; ++i) {
        columns.push_back(column);
        column += generator() % 7 == 0 ? static_cast<std::int32_t>(generator() % 9) + 2 : 1;
      }
    }
    bias = biased ? random_floats(heads * (2 * static_cast<std::size_t>(bias_reach) + 1), 9) : std::vector<float>();
  }
  bool sees(std::size_t query, std::size_t key) const {
    if (causal && key > query) return false;
    return window == 0 || std::abs(columns[key] - columns[query]) <= window;
  }
  double bias_of(std::size_t head, std::size_t query, std::size_t key) const {
    if (bias.empty()) return 0;
    const std::int32_t distance = std::clamp(columns[key] - columns[query], -bias_reach, bias_reach);
    return bias[head * (2 * static_cast<std::size_t>(bias_reach) + 1) +
                static_cast<std::size_t>(distance + bias_reach)];
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }

  // The sequences of the order given, as a batch.
  Case pick(const std::vector<std::size_t>& order) const {
    std::vector<std::int32_t> lengths;
    for (const std::size_t s : order) lengths.push_back(cu[s + 1] - cu[s]);
    Case result(type, head_size, masked, lengths, heads, heads / kv_heads);
    result.key_begin.clear(), result.key_end.clear();
    for (const std::size_t s : order) {
      const std::int32_t moved = result.cu[result.key_begin.size()] - cu[s];
      result.key_begin.push_back(key_begin[s] + moved);
      result.key_end.push_back(key_end[s] + moved);
    }
    const auto take = [&](const std::vector<float>& from, std::size_t width, std::vector<float>& to) {
      to.clear();
      for (const std::size_t s : order)
        to.insert(to.end(), from.begin() + cu[s] * static_cast<std::ptrdiff_t>(width),
                  from.begin() + cu[s + 1] * static_cast<std::ptrdiff_t>(width));
    };
    take(q, hidden, result.q);
    take(k, kv_hidden, result.k);
    take(v, kv_hidden, result.v);
    if (!columns.empty()) result.relate(window, bias_reach, !bias.empty(), causal);
    return result;
  }
};

// Where queries, keys and values lie: side by side in one matrix; in three of different widths; or in three at columns
// that no vector of 16 bytes begins at.
enum class Layout { packed, apart, odd };

struct Options {
  std::optional<cuda::QueryTile> tile = std::nullopt;  // none: the public function, which chooses
  bool probabilities = false;
  filbert_rows rows = FILBERT_ROWS_ALL;
  std::size_t shift = 0;  // misaligns inputs and the output
  Layout layout = Layout::packed;
  bool tiled = false;  // with a list of tiles
};

struct Result {
  std::vector<float> out, probabilities;
};

// Queries, keys and values in device memory.
class DeviceHeads {
 public:
  DeviceHeads(const Case& c, Layout layout, std::size_t shift)
      : tokens_(c.tokens()),
        all_(c.type, packed(c, layout), shift),
        q_(c.type, alone(c.q, layout, c.hidden, lead(layout), 0), shift),
        k_(c.type, alone(c.k, layout, c.kv_hidden, 0, lead(layout)), shift),
        v_(c.type, alone(c.v, layout, c.kv_hidden, lead(layout), lead(layout)), shift) {
    if (layout == Layout::packed) {
      const std::size_t width = c.hidden + 2 * c.kv_hidden;
      q = {all_.data(), width, 0, tokens_};
      k = {all_.data(), width, c.hidden, tokens_};
      v = {all_.data(), width, c.hidden + c.kv_hidden, tokens_};
    } else {
      q = {q_.data(), c.hidden + lead(layout), lead(layout), tokens_};
      k = {k_.data(), c.kv_hidden + lead(layout), 0, tokens_};
      v = {v_.data(), c.kv_hidden + 2 * lead(layout), lead(layout), tokens_};
    }
  }

  filbert_heads q, k, v;

 private:
  static std::size_t lead(Layout layout) { return layout == Layout::odd ? 3 : 16; }

  static std::vector<float> packed(const Case& c, Layout layout) {
    std::vector<float> all;
    for (std::size_t t = 0; layout == Layout::packed && t < c.tokens(); ++t)
      for (const std::vector<float>* part : {&c.q, &c.k, &c.v}) {
        const auto width = static_cast<std::ptrdiff_t>(part == &c.q ? c.hidden : c.kv_hidden);
        const auto row = part->begin() + static_cast<std::ptrdiff_t>(t) * width;
        all.insert(all.end(), row, row + width);
      }
    return all;
  }

  // The part between columns that must not be read.
  std::vector<float> alone(const std::vector<float>& part, Layout layout, std::size_t width, std::size_t before,
                           std::size_t after) const {
    if (layout == Layout::packed) return {};
    const std::size_t whole = before + width + after;
    std::vector<float> matrix(tokens_ * whole, NAN);
    for (std::size_t i = 0; i < part.size(); ++i) matrix[i / width * whole + before + i % width] = part[i];
    return matrix;
  }

  std::size_t tokens_;
  TypedArray all_, q_, k_, v_;
};

// Those of all sequences, then three empty ones, as recordings have them.
inline std::vector<std::int32_t> tile_numbers(const Case& c) {
  const std::vector<std::size_t> bounds(c.cu.begin(), c.cu.end());
  const std::size_t queries = cuda::query_tile(c.type);
  std::vector<std::int32_t> numbers(2 * (count_query_tiles(bounds, queries) + 3),
                                    static_cast<std::int32_t>(c.sequences()));
  write_query_tiles(bounds, queries, numbers.data());
  return numbers;
}

// What call(task) computes.
template <typename Call>
Result run_as(const Case& c, const Options& options, const Call& call) {
  const DeviceHeads heads(c, options.layout, options.shift);
  const bool all = options.rows == FILBERT_ROWS_ALL;
  const TypedArray out(c.type, (all ? c.tokens() : c.sequences()) * c.hidden, options.shift);
  const DeviceArray<std::int32_t> cu(c.cu), key_begin(c.key_begin), key_end(c.key_end), columns(c.columns);
  const DeviceArray<float> bias(c.bias);
  const DeviceArray<std::int64_t> offsets(c.offsets);
  const DeviceArray<float> probabilities(options.probabilities ? c.floats : 0);
  const std::vector<std::int32_t> numbers = options.tiled ? tile_numbers(c) : std::vector<std::int32_t>();
  const DeviceArray<std::int32_t> tiles(numbers);
  const cuda::Attention task = {
      {cu.data(), c.masked ? key_begin.data() : nullptr, c.columns.empty() ? nullptr : columns.data(), c.sequences(),
       c.longest, c.masked ? key_end.data() : nullptr,
       options.tiled ? filbert_query_tiles{reinterpret_cast<const filbert_query_tile*>(tiles.data()),
                                           numbers.size() / 2, cuda::query_tile(c.type)}
                     : filbert_query_tiles{}},
      heads.q,
      heads.k,
      heads.v,
      c.heads,
      c.kv_heads,
      c.head_size,
      c.scale(),
      c.causal,
      c.window,
      c.bias.empty() ? nullptr : bias.data(),
      c.bias_reach,
      options.rows,
      out.data(),
      options.probabilities ? probabilities.data() : nullptr,
      options.probabilities ? offsets.data() : nullptr};
  ++cuda_on_cpu::machine().seed;
  REQUIRE(call(task) == cudaSuccess);
  return {out.host(), options.probabilities ? probabilities.host() : std::vector<float>()};
}

inline Result run(const Case& c, const Options& options) {
  return run_as(c, options, [&](const cuda::Attention& task) {
    if (options.tiled && c.type == cuda::Type::f32) return cuda::attention_f32(task, nullptr);
    return options.tile ? cuda::attention_16bit(c.type, *options.tile, task, nullptr)
                        : cuda::attention(c.type, task, nullptr);
  });
}

struct Expected {
  std::vector<double> out, probabilities, weighted;  // weighted: of each number of out, the sum of p |v|
};

// more(query, key, head): what a score has beside q k^T.
template <typename More>
Expected reference(const Case& c, float scale, const More& more) {
  const std::size_t d = c.head_size, numbers = c.tokens() * c.hidden;
  Expected result{std::vector<double>(numbers), std::vector<double>(c.floats), std::vector<double>(numbers)};
  for (std::size_t s = 0; s < c.sequences(); ++s)
    for (std::size_t head = 0; head < c.heads; ++head) {
      const std::size_t of_head = head * d, of_keys = head / (c.heads / c.kv_heads) * d;
      const auto first = static_cast<std::size_t>(c.cu[s]), stop = static_cast<std::size_t>(c.cu[s + 1]);
      const auto begin = static_cast<std::size_t>(c.key_begin[s]), end = static_cast<std::size_t>(c.key_end[s]);
      for (std::size_t query = first; query < stop; ++query) {
        const auto row =
            static_cast<std::size_t>(c.offsets[s]) + (head * (stop - first) + query - first) * (stop - first);
        double* p = &result.probabilities[row];
        double* const out = &result.out[query * c.hidden + of_head];
        double* const weighted = &result.weighted[query * c.hidden + of_head];
        double total = 0;
        for (std::size_t key = begin; key < end; ++key) {
          if (!c.sees(query, key)) continue;
          const double score =
              dot(&c.q[query * c.hidden + of_head], &c.k[key * c.kv_hidden + of_keys], d) + more(query, key, head);
          total += p[key - first] = std::exp(score * scale + c.bias_of(head, query, key));
        }
        for (std::size_t key = begin; key < end; ++key) {
          if (!c.sees(query, key)) continue;
          const double weight = p[key - first] /= total;
          const float* const v = &c.v[key * c.kv_hidden + of_keys];
          for (std::size_t j = 0; j < d; ++j) {
            out[j] += weight * v[j];
            weighted[j] += std::abs(weight * v[j]);
          }
        }
      }
    }
  return result;
}

inline Expected reference(const Case& c) {
  return reference(c, c.scale(), [](auto...) { return 0.0; });
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
  return {cuda::QueryTile::t64, cuda::QueryTile::t128, cuda::QueryTile::t16, cuda::QueryTile::t32, std::nullopt};
}

}  // namespace filbert::testing
