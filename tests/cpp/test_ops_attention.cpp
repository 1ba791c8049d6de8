// Attention on every instruction set against plain loops in double precision.
#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>

#include "cpu/convert.h"
#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// Every length around a vector, a tile and the share of one thread, in one batch.
const std::vector<std::int32_t> kLengths = {1, 300, 2, 15, 129, 16, 17, 64, 33};
constexpr std::size_t kHeads = 2;

// A batch of [tokens, 3, heads, head_size].
struct AttentionData {
  std::size_t head_size, hidden, longest = 0, floats = 0;
  bool masked_first;  // the first token of a sequence asks but is not attended, unless it is the only one
  std::vector<std::int32_t> cu = {0}, key_begin;
  std::vector<std::int64_t> offsets;
  std::vector<float> qkv;

  AttentionData(std::size_t size, bool masked, const std::vector<std::int32_t>& lengths = kLengths)
      : head_size(size), hidden(kHeads * size), masked_first(masked) {
    for (const std::int32_t length : lengths) {
      key_begin.push_back(cu.back() + (masked && length > 1 ? 1 : 0));
      cu.push_back(cu.back() + length);
      offsets.push_back(static_cast<std::int64_t>(floats));
      const auto n = static_cast<std::size_t>(length);
      floats += kHeads * n * n;
      longest = std::max(longest, n);
    }
    qkv = random_floats(tokens() * 3 * hidden, 5);
  }
  std::size_t sequences() const { return offsets.size(); }
  std::size_t tokens() const { return static_cast<std::size_t>(cu.back()); }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }
};

struct AttentionResult {
  std::vector<float> out, probabilities;
};

AttentionResult run(const Ops& ops, const AttentionData& data, bool probabilities, bool first_only = false) {
  AttentionResult result{std::vector<float>((first_only ? data.sequences() : data.tokens()) * data.hidden, NAN),
                         std::vector<float>(probabilities ? data.floats : 0, 0.0f)};
  ops.attention({data.qkv.data(), data.cu.data(), data.masked_first ? data.key_begin.data() : nullptr, data.sequences(),
                 data.longest, kHeads, data.head_size, data.scale(), first_only, result.out.data(),
                 probabilities ? result.probabilities.data() : nullptr, probabilities ? data.offsets.data() : nullptr});
  return result;
}

struct Expected {
  std::vector<float> out, probabilities;
  std::vector<double> weighted;  // of each number of out: the sum of p |v|
};

// With bf16, of q, k and v rounded to it.
Expected reference(const AttentionData& data, bool bf16) {
  std::vector<float> qkv = data.qkv;
  if (bf16)
    for (float& value : qkv) value = cpu::bf16_to_float(cpu::float_to_bf16(value));
  const std::size_t d = data.head_size, stride = 3 * data.hidden;
  Expected result{std::vector<float>(data.tokens() * data.hidden), std::vector<float>(data.floats, 0.0f),
                  std::vector<double>(data.tokens() * data.hidden)};
  for (std::size_t s = 0; s < data.sequences(); ++s)
    for (std::size_t head = 0; head < kHeads; ++head) {
      const auto first = static_cast<std::size_t>(data.cu[s]), stop = static_cast<std::size_t>(data.cu[s + 1]);
      const auto begin = static_cast<std::size_t>(data.key_begin[s]);
      const std::size_t length = stop - first;
      for (std::size_t q = first; q < stop; ++q) {
        std::vector<double> p(stop - begin), sums(d, 0.0), weighted(d, 0.0);
        double total = 0;
        for (std::size_t key = begin; key < stop; ++key) {
          double score = 0;
          for (std::size_t j = 0; j < d; ++j)
            score +=
                static_cast<double>(qkv[q * stride + head * d + j]) * qkv[key * stride + data.hidden + head * d + j];
          total += p[key - begin] = std::exp(score * data.scale());
        }
        for (std::size_t key = begin; key < stop; ++key) {
          p[key - begin] /= total;
          const auto row = static_cast<std::size_t>(data.offsets[s]) + (head * length + q - first) * length;
          result.probabilities[row + key - first] = static_cast<float>(p[key - begin]);
          for (std::size_t j = 0; j < d; ++j) {
            const double v = qkv[key * stride + 2 * data.hidden + head * d + j];
            sums[j] += p[key - begin] * v;
            weighted[j] += p[key - begin] * std::abs(v);
          }
        }
        for (std::size_t j = 0; j < d; ++j) {
          result.out[q * data.hidden + head * d + j] = static_cast<float>(sums[j]);
          result.weighted[q * data.hidden + head * d + j] = weighted[j];
        }
      }
    }
  return result;
}

bool attends_in_bf16(const std::string& isa, filbert_dtype dtype) {
  for (const cpu::Kernels& kernels : cpu::available_kernels())
    if (kernels.isa == isa) return kernels.multiplies_bf16 && dtype != FILBERT_F32;
  return false;
}

}  // namespace

TEST_CASE("ops: attention against double precision: head sizes, ragged lengths, masked first tokens") {
  // Probabilities sum to one, so float sums do not grow with the length. Scores of size 4 round by 4 kUlp, a handful of
  // times; e^score carries that over.
  constexpr double kFloat = 40 * kUlp;
  // Where q, k and v are bfloat16, so are the numerators of the probabilities in the weighted sum: off by up to 2^-8.
  constexpr double kBf16 = 0x1p-8;
  for (const std::size_t head_size : {1u, 8u, 16u, 24u, 32u, 64u, 80u, 128u})
    for (const bool masked_first : {false, true}) {
      const AttentionData data(head_size, masked_first);
      const Expected references[] = {reference(data, false), reference(data, true)};
      for (const std::string& isa : isas())
        for (const filbert_dtype dtype : kComputeTypes) {
          CAPTURE(isa);
          CAPTURE(dtype);
          CAPTURE(head_size);
          CAPTURE(masked_first);
          const bool bf16 = attends_in_bf16(isa, dtype);
          const Expected& expected = references[bf16];
          const auto ops = open_isa(isa, dtype);
          const AttentionResult found = run(*ops, data, true);
          CHECK(difference(found.probabilities, expected.probabilities) < kFloat);
          double worst = 0;
          for (std::size_t i = 0; i < found.out.size(); ++i) {
            const double allowed = kFloat * (1 + std::abs(static_cast<double>(expected.out[i]))) +
                                   (bf16 ? kBf16 * expected.weighted[i] : 0);
            const double error = std::abs(static_cast<double>(found.out[i]) - expected.out[i]) / allowed;
            worst = std::isnan(error) ? INFINITY : std::max(worst, error);
          }
          CHECK(worst <= 1);
        }
    }
}

TEST_CASE("ops: attention gives the same bits without probabilities, and for first tokens only") {
  for (const std::size_t head_size : {1u, 8u, 16u, 24u, 32u, 64u, 80u, 128u})
    for (const bool masked_first : {false, true}) {
      const AttentionData data(head_size, masked_first);
      for (const std::string& isa : vector_isas())
        for (const filbert_dtype dtype : kComputeTypes) {
          CAPTURE(isa);
          CAPTURE(dtype);
          CAPTURE(head_size);
          CAPTURE(masked_first);
          const auto ops = open_isa(isa, dtype);
          const std::vector<float> all = run(*ops, data, true).out;
          CHECK(same_bits(run(*ops, data, false).out, all));
          const std::vector<float> first = run(*ops, data, false, true).out;
          for (std::size_t s = 0; s < data.sequences(); ++s) {
            CAPTURE(s);
            const auto row = static_cast<std::size_t>(data.cu[s]);
            CHECK(same_bits(slice(first, s * data.hidden, data.hidden), slice(all, row * data.hidden, data.hidden)));
          }
        }
    }
}

TEST_CASE("ops: a masked first token asks but is not attended") {
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      const AttentionResult result = run(*ops, AttentionData(8, true, {4}), true);
      for (std::size_t row = 0; row < kHeads * 4; ++row) {
        const float* p = &result.probabilities[row * 4];
        CHECK(p[0] == 0.0f);
        CHECK(std::accumulate(p, p + 4, 0.0f) == doctest::Approx(1.0));
      }
    }
}

TEST_CASE("ops: attention to far larger scores takes the largest, and a NaN stays in its sequence") {
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      AttentionData data(16, false, {20, 40, 3});
      const std::vector<float> clean = run(*ops, data, false).out;
      // Sequence 0: keys of one direction, which its queries share; the last is by far the longest.
      for (std::size_t token = 0; token < 20; ++token)
        for (std::size_t j = 0; j < data.hidden; ++j) {
          data.qkv[token * 3 * data.hidden + j] = 10.0f;
          data.qkv[(token * 3 + 1) * data.hidden + j] = token == 19 ? 100.0f : static_cast<float>(token);
        }
      data.qkv[20 * 3 * data.hidden] = NAN;  // one query of sequence 1
      const std::vector<float> found = run(*ops, data, false).out;
      const std::vector<float> last = slice(data.qkv, (19 * 3 + 2) * data.hidden, data.hidden);
      const double rounding = attends_in_bf16(isa, dtype) ? 0x1p-8 : 4 * kUlp;
      for (std::size_t token = 0; token < 20; ++token)
        CHECK(difference(slice(found, token * data.hidden, data.hidden), last) <= rounding);
      for (std::size_t j = 0; j < 16; ++j) CHECK(std::isnan(found[20 * data.hidden + j]));
      const std::size_t rest = 20 * data.hidden + 16;  // the other head of that query, its neighbours, sequence 2
      CHECK(same_bits(slice(found, rest, found.size() - rest), slice(clean, rest, clean.size() - rest)));
    }
}
