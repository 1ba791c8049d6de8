// Attention on every instruction set against plain loops in double precision.
#include <doctest/doctest.h>

#include <numeric>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

const std::vector<AttentionShape> kShapes = {
    {.head_size = 1},
    {.head_size = 8, .masked_first = true},
    {.head_size = 8, .masked_last = true},
    {.head_size = 64, .masked_last = true},
    {.head_size = 128, .heads = 2, .kv_heads = 1, .masked_first = true, .masked_last = true},
    {.head_size = 64, .causal = true, .masked_last = true},
    {.head_size = 32, .window = 20, .holes = true, .masked_last = true},
    {.head_size = 32, .reach = 9, .masked_last = true},
    {.head_size = 16, .masked_first = true},
    {.head_size = 24},
    {.head_size = 32, .masked_first = true},
    {.head_size = 64},
    {.head_size = 64, .masked_first = true},
    {.head_size = 80, .heads = 6, .kv_heads = 2},
    {.head_size = 128, .heads = 2, .kv_heads = 1, .masked_first = true},
    {.head_size = 16, .heads = 4, .kv_heads = 2, .causal = true},
    {.head_size = 128, .causal = true, .masked_first = true},
    {.head_size = 160, .masked_first = true},
    {.head_size = 64, .window = 1},
    {.head_size = 24, .window = 64, .holes = true},
    {.head_size = 32, .window = 20, .masked_first = true, .holes = true},
    {.head_size = 64, .window = 1000},
    {.head_size = 33, .causal = true, .window = 40, .holes = true},
    {.head_size = 32, .reach = 5},
    {.head_size = 64, .reach = 128, .masked_first = true},
    {.head_size = 64, .reach = 100, .holes = true},
    {.head_size = 16, .heads = 4, .kv_heads = 1, .causal = true, .window = 30, .reach = 8, .holes = true},
};

struct Context {
  Context(const AttentionShape& shape, const std::string& isa, filbert_dtype dtype) {
    text = isa + ", dtype " + std::to_string(dtype) + ", head size " + std::to_string(shape.head_size) + ", " +
           std::to_string(shape.heads) + " of " + std::to_string(shape.kv_heads) + " heads, window " +
           std::to_string(shape.window) + ", reach " + std::to_string(shape.reach) + (shape.causal ? ", causal" : "") +
           (shape.masked_first ? ", first masked" : "") + (shape.masked_last ? ", last masked" : "") +
           (shape.holes ? ", holes" : "");
  }
  std::string text;
};

void check_against_double(AttentionData data) {
  const AttentionShape& shape = data.shape;
  const Expected references[] = {reference(data, false), reference(data, true)};
  for (const auto& [isa, dtype] : distinct_attention()) {
    const Context context(shape, isa, dtype);
    CAPTURE(context.text);
    const bool bf16 = attends_in_bf16(isa, dtype);
    const auto ops = open_isa(isa, dtype);
    CHECK(worst_error(run(*ops, data, true), references[bf16], bf16, shape.reach > 0) <= 1);
  }
}

}  // namespace

TEST_CASE("ops: attention against double precision, of every kind, on ragged lengths") {
  for (const AttentionShape& shape : kShapes) check_against_double(AttentionData(shape));
}

TEST_CASE("ops: attention against double precision, of queries that see neither the first key nor the last") {
  check_against_double(AttentionData({.head_size = 16, .window = 20}, {300}));
}

TEST_CASE("ops: attention gives the same bits without probabilities, and for first or last tokens only") {
  for (const AttentionShape& shape : kShapes) {
    AttentionData data(shape, {1, 129, 2, 15, 16, 33});
    for (const auto& [isa, dtype] : distinct_attention()) {
      if (isa == "scalar") continue;
      const Context context(shape, isa, dtype);
      CAPTURE(context.text);
      const auto ops = open_isa(isa, dtype);
      const std::vector<float> all = run(*ops, data, true).out;
      CHECK(same_bits(run(*ops, data, false).out, all));
      const std::vector<float> first = run(*ops, data, false, FILBERT_ROWS_FIRST).out;
      const std::vector<float> last = run(*ops, data, false, FILBERT_ROWS_LAST).out;
      for (std::size_t s = 0; s < data.sequences(); ++s) {
        CAPTURE(s);
        const std::size_t width = data.width();
        const auto begin = static_cast<std::size_t>(data.cu[s]), end = static_cast<std::size_t>(data.cu[s + 1]) - 1;
        CHECK(same_bits(slice(first, s * width, width), slice(all, begin * width, width)));
        CHECK(same_bits(slice(last, s * width, width), slice(all, end * width, width)));
      }
    }
  }
}

TEST_CASE("ops: a masked first token asks but is not attended") {
  AttentionData data({.head_size = 8, .masked_first = true}, {4});
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      const AttentionResult result = run(*ops, data, true);
      for (std::size_t row = 0; row < data.shape.heads * 4; ++row) {
        const float* p = &result.probabilities[row * 4];
        CHECK(std::isnan(p[0]));  // nobody writes there
        CHECK(std::accumulate(p + 1, p + 4, 0.0f) == doctest::Approx(1.0));
      }
    }
}

TEST_CASE("ops: a query that sees no key gives zeros") {
  AttentionData data({.head_size = 8, .causal = true, .masked_first = true}, {4, 70});
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      const std::vector<float> found = run(*ops, data, true).out;
      const std::vector<float> zeros(data.width(), 0.0f);
      for (const std::size_t token : {0u, 4u}) CHECK(slice(found, token * data.width(), data.width()) == zeros);
      CHECK(slice(found, data.width(), data.width()) != zeros);
    }
}

TEST_CASE("ops: keys that a query does not see are absent, NaN too") {
  for (const AttentionShape& shape :
       {AttentionShape{.head_size = 16, .causal = true}, AttentionShape{.head_size = 16, .window = 7},
        AttentionShape{.head_size = 16, .window = 7, .reach = 3}}) {
    AttentionData data(shape, {40});
    for (const std::string& isa : isas())
      for (const filbert_dtype dtype : kComputeTypes) {
        const Context context(shape, isa, dtype);
        CAPTURE(context.text);
        const auto ops = open_isa(isa, dtype, 1);
        const std::vector<float> clean = run(*ops, data, false).out;
        AttentionData bad = data;
        for (std::size_t j = 0; j < 16; ++j) bad.key(30, 0)[j] = NAN;
        const std::vector<float> found = run(*ops, bad, false).out;
        for (std::size_t token = 0; token < 40; ++token) {
          CAPTURE(token);
          const bool sees = shape.causal ? token >= 30 : token >= 23 && token <= 37;
          const std::size_t at = token * data.width();
          CHECK(std::isnan(found[at]) == sees);
          if (!sees) CHECK(same_bits(slice(found, at, data.width()), slice(clean, at, data.width())));
        }
      }
  }
}

// In one head of the second sequence: one number of a query, of a key or of the values, or one column of all values.
TEST_CASE("ops: float32 attention, infinities, NaN, huge and tiny numbers are what they are in plain loops") {
  enum class In { query, key, value, values };
  constexpr std::size_t kSize = 16, kFirst = 40, kTokens = 180, kPlace = 53;  // scores are scaled by a power of 2
  for (const In in : {In::query, In::key, In::value, In::values})
    for (const float special : {INFINITY, -INFINITY, NAN, 1e30f, 0x1p-60f, 1e-40f}) {
      AttentionData data({.head_size = kSize, .heads = 4, .kv_heads = 2}, {kFirst, kTokens - kFirst});
      if (in == In::values)
        for (std::size_t token = kFirst; token < kTokens; ++token) data.value(token, 1)[3] *= special;
      else
        (in == In::query ? data.query(kPlace, 3)
         : in == In::key ? data.key(kPlace, 1)
                         : data.value(kPlace, 1))[3] = special;
      const std::vector<float> expected = run(*open_isa("scalar", FILBERT_F32, 1), data, false).out;
      for (const std::string& isa : vector_isas()) {
        const std::vector<float> found = run(*open_isa(isa), data, false).out;
        for (std::size_t i = 0; i < found.size(); ++i) {
          CAPTURE(isa);
          CAPTURE(special);
          CAPTURE(static_cast<int>(in));
          CAPTURE(i / data.width());
          CAPTURE(i % data.width());
          CAPTURE(found[i]);
          CAPTURE(expected[i]);
          const std::size_t column = i % data.width();
          const bool scaled =
              in == In::values && i / data.width() >= kFirst && column >= 2 * kSize && column % kSize == 3;
          const double size = std::abs(expected[i]) + (scaled ? std::abs(special) : 1.0f);
          if (std::isnan(expected[i]))
            REQUIRE(std::isnan(found[i]));
          else if (std::isinf(expected[i]))
            REQUIRE(found[i] == expected[i]);
          else  // each may be off by half of that: worst_error
            REQUIRE(std::abs(static_cast<double>(found[i]) - expected[i]) <= 80 * kUlp * size + kTokens * 0x1p-149);
        }
      }
    }
}

TEST_CASE("ops: attention to far larger scores takes the largest, and a NaN stays in its sequence") {
  constexpr std::size_t kHeadSize = 24;  // of which the scale is not a power of two
  const AttentionData drawn({.head_size = kHeadSize}, {20, 40, 3});
  const std::size_t width = drawn.width();
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes)
      for (const float longest : {1e2f, 1e11f}) {
        CAPTURE(isa);
        CAPTURE(dtype);
        CAPTURE(longest);
        const auto ops = open_isa(isa, dtype, 1);
        AttentionData data = drawn;
        const std::vector<float> clean = run(*ops, data, false).out;
        // Sequence 0: keys of one direction, which its queries share; the last is by far the longest.
        for (std::size_t token = 0; token < 20; ++token)
          for (std::size_t j = 0; j < width; ++j) {
            data.query(token, 0)[j] = 10.0f;
            data.key(token, 0)[j] = token == 19 ? longest : longest / 100.0f * static_cast<float>(token);
          }
        data.query(20, 0)[0] = NAN;  // one query of sequence 1
        const std::vector<float> found = run(*ops, data, false).out;
        const std::vector<float> last(data.value(19, 0), data.value(19, 0) + width);
        const double rounding = attends_in_bf16(isa, dtype) ? 0x1p-8 : 4 * kUlp;
        for (std::size_t token = 0; token < 20; ++token)
          CHECK(difference(slice(found, token * width, width), last) <= rounding);
        for (std::size_t j = 0; j < kHeadSize; ++j) CHECK(std::isnan(found[20 * width + j]));
        const std::size_t rest = 20 * width + kHeadSize;  // the other head of that query, its neighbours, sequence 2
        CHECK(same_bits(slice(found, rest, found.size() - rest), slice(clean, rest, clean.size() - rest)));
      }
}
