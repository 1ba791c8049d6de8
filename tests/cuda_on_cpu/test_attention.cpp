// Attention against plain loops in double precision, and bit for bit against itself: alone and in a batch, with tiles
// of 64 and of 128 queries, with and without probabilities; with a window and a bias too.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cuda/attention.h"
#include "cuda_on_cpu/machine.h"
#include "floats.h"
#include "typed_array.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr double kUlp = 0x1p-24;

// Around tiles of 32 and 64 keys, and of 64 and 128 queries.
const std::vector<std::int32_t> kLengths = {1, 300, 63, 2, 64, 129, 65, 17, 127, 33, 128, 8};
// The kernels' own, those that are padded, and one that is no multiple of 16 bytes. An odd number: with every type,
// half of them have masked first tokens, and each size has with some type.
constexpr std::size_t kHeadSizes[] = {7, 32, 40, 64, 80, 96, 128, 200, 256};

struct Case {
  Type type;
  std::size_t heads, head_size, hidden, longest = 0, floats = 0;
  bool masked_first;  // the first token of a sequence asks but is not attended, unless it is the only one
  std::vector<std::int32_t> cu = {0}, key_begin;
  std::vector<std::int64_t> offsets;
  std::vector<float> qkv, bias;
  std::vector<std::int32_t> positions;
  std::int32_t window = 0, bias_reach = 0;

  Case(Type type_, std::size_t size, bool masked, const std::vector<std::int32_t>& lengths = kLengths,
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
  std::optional<QueryTile> tile = std::nullopt;  // none: the public function, which chooses
  bool probabilities = false, first_only = false;
  std::size_t shift = 0;  // misaligns qkv and the output
};

struct Result {
  std::vector<float> out, probabilities;
};

Result run(const Case& c, const Options& options) {
  const TypedArray qkv(c.type, c.qkv, options.shift);
  const TypedArray out(c.type, (options.first_only ? c.sequences() : c.tokens()) * c.hidden, options.shift);
  const DeviceArray<std::int32_t> cu(c.cu), key_begin(c.key_begin), positions(c.positions);
  const DeviceArray<float> bias(c.bias);
  const DeviceArray<std::int64_t> offsets(c.offsets);
  const DeviceArray<float> probabilities(options.probabilities ? c.floats : 0);
  const Attention task = {qkv.data(),
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
  REQUIRE((options.tile ? attention_16bit(c.type, *options.tile, task, nullptr) : attention(c.type, task, nullptr)) ==
          cudaSuccess);
  return {out.host(), options.probabilities ? probabilities.host() : std::vector<float>()};
}

struct Expected {
  std::vector<double> out, probabilities, weighted;  // weighted: of each number of out, the sum of p |v|
};

Expected reference(const Case& c) {
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
double worst_error(const Case& c, const Expected& expected, const std::vector<float>& found) {
  double worst = found.size() == expected.out.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double size = std::abs(expected.out[i]);
    double allowed = 40 * kUlp * (1 + size) + unit(c.type) * size + smallest(c.type);
    if (c.type != Type::f32)
      allowed += unit(c.type) * expected.weighted[i] + smallest(c.type) * static_cast<double>(c.longest) * 4;
    const double error = std::abs(found[i] - expected.out[i]) / allowed;
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

std::vector<std::optional<QueryTile>> tiles(Type type) {
  if (type == Type::f32) return {std::nullopt};
  return {QueryTile::t64, QueryTile::t128, std::nullopt};
}

}  // namespace

TEST_CASE("attention: head sizes, ragged lengths, masked first tokens") {
  const cuda_on_cpu::Restore restore;
  bool masked = false;
  for (const Type type : kTypes)
    for (const std::size_t head_size : kHeadSizes) {
      masked = !masked;
      const Case c(type, head_size, masked);
      const Expected expected = reference(c);
      for (const std::optional<QueryTile> tile : tiles(type)) {
        if (type != Type::f32 && !tile) continue;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(masked);
        CAPTURE(tile.has_value());
        CHECK(worst_error(c, expected, run(c, {.tile = tile}).out) <= 1);
      }
    }
}

TEST_CASE("attention: every length up to two tiles, and some beyond") {
  const cuda_on_cpu::Restore restore;
  std::vector<std::int32_t> lengths;
  for (std::int32_t length = 1; length <= 130; ++length) lengths.push_back(length);
  for (const std::int32_t length : {191, 192, 193, 255, 256, 257, 299}) lengths.push_back(length);
  for (const Type type : kTypes) {
    CAPTURE(type);
    const Case c(type, 16, true, lengths, 1);
    CHECK(worst_error(c, reference(c), run(c, {}).out) <= 1);
  }
}

TEST_CASE("attention: probabilities, beside which the output has the same bits") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 64}) {
      CAPTURE(type);
      CAPTURE(head_size);
      const Case c(type, head_size, head_size == 64);
      const Result found = run(c, {.probabilities = true});
      CHECK(same_bits(found.out, run(c, {}).out));
      const Expected expected = reference(c);
      double worst = 0;
      for (std::size_t i = 0; i < c.floats; ++i) {
        const double error = std::abs(found.probabilities[i] - expected.probabilities[i]);
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        if (expected.probabilities[i] == 0) CHECK(found.probabilities[i] == 0.0f);
      }
      CHECK(worst < 40 * kUlp);  // see worst_error
    }
}

namespace {

struct Relative {
  std::int32_t window, bias_reach;
  bool biased;
};

// Windows below, of, and beyond a tile; biases of one number, of a tile, and none clipped.
constexpr Relative kRelatives[] = {{5, 0, false},  {64, 0, false}, {1, 0, false},  {0, 0, true},   {0, 31, true},
                                   {0, 900, true}, {7, 3, true},   {40, 64, true}, {900, 12, true}};
const std::vector<std::int32_t> kRelativeLengths = {1, 200, 63, 2, 130, 65, 17};

// Every third sequence has many tokens that only ask: some see no key in their window.
Case relative_case(Type type, std::size_t head_size, const Relative& relative) {
  Case c(type, head_size, true, kRelativeLengths);
  for (std::size_t s = 1; s < c.sequences(); s += 3) c.key_begin[s] = c.cu[s] + (c.cu[s + 1] - c.cu[s]) / 2;
  c.relate(relative.window, relative.bias_reach, relative.biased);
  return c;
}

// Rows that are zero in double precision are of queries without a key.
std::size_t zero_rows(const Case& c, const Expected& expected, const std::vector<float>& found) {
  std::size_t count = 0;
  for (std::size_t row = 0; row < c.tokens(); ++row) {
    bool zero = true;
    for (std::size_t j = 0; j < c.hidden; ++j) zero &= expected.weighted[row * c.hidden + j] == 0;
    if (!zero) continue;
    ++count;
    for (std::size_t j = 0; j < c.hidden; ++j) CHECK(found[row * c.hidden + j] == 0.0f);
  }
  return count;
}

}  // namespace

TEST_CASE("attention: windows and biases by distance, over gaps") {
  const cuda_on_cpu::Restore restore;
  std::size_t turn = 0;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {32, 40, 64, 128})
      for (std::size_t i = 0; i < 3; ++i) {  // of a window, of a bias, of both
        const Relative& relative = kRelatives[i * 3 + turn++ / 3 % 3];
        const Case c = relative_case(type, head_size, relative);
        const Expected expected = reference(c);
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        CAPTURE(relative.bias_reach);
        const Result found = run(c, {.probabilities = true});
        CHECK(worst_error(c, expected, found.out) <= 1);
        CHECK((zero_rows(c, expected, found.out) > 0) == (c.window > 0 && c.window < 100));
        double worst = 0;
        for (std::size_t p = 0; p < c.floats; ++p) {
          const double error = std::abs(found.probabilities[p] - expected.probabilities[p]);
          worst = std::isnan(error) || (expected.probabilities[p] == 0 && found.probabilities[p] != 0.0f)
                      ? INFINITY
                      : std::max(worst, error);
        }
        CHECK(worst < 40 * kUlp);
      }
}

TEST_CASE("attention: windows and biases give the same bits alone, in a batch, for first tokens, from either tile") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {40, 128})
      for (const Relative& relative : {kRelatives[0], kRelatives[7]}) {
        const Case c = relative_case(type, head_size, relative);
        const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
        const std::vector<float> first = run(c, {.first_only = true}).out;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        if (type != Type::f32 && head_size <= 64) CHECK(same_bits(run(c, {.tile = QueryTile::t128}).out, all));
        const std::vector<float> turned = run(c.pick({4, 1, 6, 2}), {}).out;
        CHECK(same_bits(slice(turned, 130 * c.hidden, 200 * c.hidden), slice(all, c.hidden, 200 * c.hidden)));
        for (std::size_t s = 0; s < c.sequences(); ++s) {
          CAPTURE(s);
          const std::size_t row = static_cast<std::size_t>(c.cu[s]) * c.hidden;
          CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(all, row, c.hidden)));
        }
        CHECK(same_bits(run(c.pick({1}), {}).out, slice(all, c.hidden, 200 * c.hidden)));
      }
}

TEST_CASE("attention: keys outside the window count for nothing, whatever they hold") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CAPTURE(type);
    Case c(type, 32, false, {200});
    c.relate(10, 4, true);
    const std::vector<float> clean = run(c, {}).out;
    for (std::size_t j = 0; j < c.hidden; ++j) c.qkv[(100 * 3 + 1) * c.hidden + j] = NAN;  // the key of token 100
    const std::vector<float> found = run(c, {}).out;
    for (std::size_t token = 0; token < 200; ++token) {
      CAPTURE(token);
      const std::size_t row = token * c.hidden;
      if (c.sees(token, 100))
        CHECK(std::isnan(found[row]));
      else
        CHECK(same_bits(slice(found, row, c.hidden), slice(clean, row, c.hidden)));
    }
  }
}

TEST_CASE("attention: which tiles a window passes over is the same for queries alone and in blocks of either size") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CAPTURE(type);
    Case c(type, 32, false, {300});
    c.relate(20, 0, false);
    for (std::size_t j = 0; j < c.hidden; ++j) c.qkv[(80 * 3 + 2) * c.hidden + j] = INFINITY;  // shows where it is read
    const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
    CHECK(std::isnan(all[50 * c.hidden]));
    CHECK(std::isfinite(all[0]));
    CHECK(std::isfinite(all[200 * c.hidden]));
    for (const std::optional<QueryTile> tile : tiles(type)) {
      CHECK(same_bits(run(c, {.tile = tile}).out, all));
      CHECK(same_bits(run(c, {.tile = tile, .first_only = true}).out, slice(all, 0, c.hidden)));
    }
  }
}

TEST_CASE("attention: the same bits alone, in any order, for first tokens only, and from either tile") {
  const cuda_on_cpu::Restore restore;
  std::vector<std::size_t> backwards(kLengths.size());
  for (std::size_t i = 0; i < backwards.size(); ++i) backwards[i] = backwards.size() - 1 - i;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 64, 96}) {
      const Case c(type, head_size, head_size == 64), reversed = c.pick(backwards);
      const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
      const auto of = [&](const Case& batch, const std::vector<float>& out, std::size_t s) {
        const auto row = static_cast<std::size_t>(batch.cu[s]), end = static_cast<std::size_t>(batch.cu[s + 1]);
        return slice(out, row * batch.hidden, (end - row) * batch.hidden);
      };
      for (const std::optional<QueryTile> tile : tiles(type)) {
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(tile.has_value());
        CHECK(same_bits(run(c, {.tile = tile}).out, all));
        const std::vector<float> turned = run(reversed, {.tile = tile}).out;
        const std::vector<float> first = run(c, {.tile = tile, .first_only = true}).out;
        for (std::size_t s = 0; s < c.sequences(); ++s) {
          CAPTURE(s);
          const std::vector<float> mine = of(c, all, s);
          CHECK(same_bits(of(reversed, turned, backwards[s]), mine));
          CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(mine, 0, c.hidden)));
          CHECK(same_bits(run(c.pick({s}), {.tile = tile}).out, mine));
        }
      }
    }
}

TEST_CASE("attention: qkv and output at odd addresses give the same bits") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {32, 80}) {
      CAPTURE(type);
      CAPTURE(head_size);
      const Case c(type, head_size, true);
      CHECK(same_bits(run(c, {.shift = 1}).out, run(c, {}).out));
    }
}

TEST_CASE("attention: of far larger scores the largest wins, and a NaN stays with its query") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::optional<QueryTile> tile : tiles(type)) {
      CAPTURE(type);
      CAPTURE(tile.has_value());
      Case c(type, 16, false, {90, 70, 3});
      const std::vector<float> clean = run(c, {.tile = tile}).out;
      // Sequence 0: keys of one direction, which its queries share; the last is by far the longest.
      for (std::size_t token = 0; token < 90; ++token)
        for (std::size_t j = 0; j < c.hidden; ++j) {
          c.qkv[token * 3 * c.hidden + j] = 30.0f;
          c.qkv[(token * 3 + 1) * c.hidden + j] = token == 89 ? 1000.0f : static_cast<float>(token);
        }
      c.qkv[90 * 3 * c.hidden] = NAN;  // one query of sequence 1, in its first head
      const std::vector<float> found = run(c, {.tile = tile}).out;
      const std::vector<float> last = slice(c.qkv, (89 * 3 + 2) * c.hidden, c.hidden);
      for (std::size_t token = 0; token < 90; ++token) CHECK(slice(found, token * c.hidden, c.hidden) == last);
      for (std::size_t j = 0; j < 16; ++j) CHECK(std::isnan(found[90 * c.hidden + j]));
      const std::size_t rest = 90 * c.hidden + 16;
      CHECK(same_bits(slice(found, rest, found.size() - rest), slice(clean, rest, clean.size() - rest)));
    }
}

TEST_CASE("attention: the grid takes any number of sequences") {
  Attention task = {};
  task.sequences = 1 << 20, task.max_length = 130, task.heads = 12;
  dim3 grid = attention_grid(task, 64);  // y and z end at 65535
  CHECK(grid.x == 3u << 20);
  CHECK(grid.y == 12);
  CHECK(grid.z == 1);
  task.first_only = true;
  grid = attention_grid(task, 64);
  CHECK(grid.x == 1u << 20);
}

TEST_CASE("attention: nothing to do, and what the device reports") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CHECK(run(Case(type, 64, false, {}), {}).out.empty());
    const Case c(type, 8, false, {3});
    const TypedArray qkv(type, c.qkv), out(type, 3 * c.hidden);
    const DeviceArray<std::int32_t> cu(c.cu);
    const DeviceArray<std::int64_t> offsets(c.offsets);
    const DeviceArray<float> probabilities(c.floats);
    const Attention task = {qkv.data(),           cu.data(),      nullptr, 1, 3,       2, 8, 1.0f, false, out.data(),
                            probabilities.data(), offsets.data(), nullptr, 0, nullptr, 0};
    for (int calls = 0;; ++calls) {
      cuda_on_cpu::machine().calls_until_failure = calls;
      const cudaError_t error = attention(type, task, nullptr);
      cuda_on_cpu::machine().calls_until_failure = -1;
      if (error == cudaSuccess) {
        CHECK(calls == 2);  // two kernels
        break;
      }
      CHECK(error == cudaErrorUnknown);
    }
  }
}
