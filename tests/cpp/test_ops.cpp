// Every op on every instruction set against the scalar loops. Tolerances: float32 rounds to 2^-24 = 6e-8 of a value; a
// sum of n terms of size 1 in random signs carries about sqrt(n) of that in each of the two results.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

constexpr double kUlp = 6e-8;

std::vector<float> run_linear(const Ops& ops, std::size_t tokens, std::size_t in, std::size_t out,
                              filbert_activation activation, bool bias, bool residual, float scale = 1.0f) {
  const std::vector<float> x = random_floats(tokens * in, 1, scale);
  const std::vector<float> w = random_floats(out * in, 2, 1.0f / std::sqrt(static_cast<float>(in)));
  const std::vector<float> b = random_floats(out, 3);
  const std::vector<float> r = random_floats(tokens * out, 4);
  const WeightPtr weight = load(ops, FILBERT_MATRIX, w, out, in);
  const WeightPtr bias_weight = load(ops, FILBERT_VECTOR, b, out);
  std::vector<float> result(tokens * out, NAN);
  ops.linear({x.data(), weight.get(), bias ? bias_weight.get() : nullptr, residual ? r.data() : nullptr, activation,
              tokens, result.data()});
  return result;
}

struct AttentionCase {
  std::vector<std::int32_t> lengths;
  std::size_t heads, head_size;
  bool first_only_asks = false;
};

struct AttentionResult {
  std::vector<float> out, probabilities;
};

AttentionResult run_attention(const Ops& ops, const AttentionCase& c) {
  std::vector<std::int32_t> cu = {0}, key_begin;
  std::vector<std::int64_t> offsets;
  std::size_t floats = 0, longest = 0;
  for (const std::int32_t length : c.lengths) {
    key_begin.push_back(cu.back() + (c.first_only_asks && length > 1 ? 1 : 0));
    cu.push_back(cu.back() + length);
    offsets.push_back(static_cast<std::int64_t>(floats));
    const auto n = static_cast<std::size_t>(length);
    floats += c.heads * n * n;
    longest = std::max(longest, n);
  }
  const auto tokens = static_cast<std::size_t>(cu.back());
  const std::size_t hidden = c.heads * c.head_size;
  const std::vector<float> qkv = random_floats(tokens * 3 * hidden, 5);
  AttentionResult result{std::vector<float>(tokens * hidden, NAN), std::vector<float>(floats, 0.0f)};
  ops.attention({qkv.data(), cu.data(), c.first_only_asks ? key_begin.data() : nullptr, c.lengths.size(), longest,
                 c.heads, c.head_size, 1.0f / std::sqrt(static_cast<float>(c.head_size)), result.out.data(),
                 result.probabilities.data(), offsets.data()});
  return result;
}

}  // namespace

TEST_CASE("ops: linear against scalar, odd sizes") {
  const auto scalar = open_isa("scalar");
  for (const char* isa : vector_isas()) {
    const auto ops = open_isa(isa);
    for (const std::size_t tokens : {1u, 2u, 5u, 6u, 7u, 13u, 97u, 200u})
      for (const std::size_t in : {1u, 3u, 64u, 513u, 1100u})
        for (const std::size_t out : {1u, 15u, 16u, 17u, 63u, 64u, 65u, 130u}) {
          CAPTURE(isa);
          CAPTURE(tokens);
          CAPTURE(in);
          CAPTURE(out);
          const double tolerance = 4 * kUlp * std::sqrt(static_cast<double>(in) + 4);
          CHECK(difference(run_linear(*ops, tokens, in, out, FILBERT_IDENTITY, true, true),
                           run_linear(*scalar, tokens, in, out, FILBERT_IDENTITY, true, true)) < tolerance);
        }
  }
}

TEST_CASE("ops: every activation against scalar, from tiny to saturated") {
  const auto scalar = open_isa("scalar");
  for (const char* isa : vector_isas()) {
    const auto ops = open_isa(isa);
    for (int i = 0; i < FILBERT_ACTIVATIONS; ++i)
      for (const float scale : {1e-4f, 1.0f, 5.0f, 300.0f}) {
        CAPTURE(isa);
        CAPTURE(i);
        CAPTURE(scale);
        const auto activation = static_cast<filbert_activation>(i);
        // relu2 squares: the error of its argument counts twice.
        CHECK(difference(run_linear(*ops, 40, 33, 70, activation, false, false, scale),
                         run_linear(*scalar, 40, 33, 70, activation, false, false, scale)) < 1e-6 * (1 + scale));
      }
  }
}

TEST_CASE("ops: gelu keeps its relative accuracy in the negative tail") {
  for (const char* isa : vector_isas()) {
    const auto ops = open_isa(isa, 1);
    const std::vector<float> one = {1.0f};
    const WeightPtr weight = load(*ops, FILBERT_MATRIX, one, 1, 1);
    for (float x = -9.0f; x < 9.0f; x += 0.0137f) {
      float y = 0;
      ops->linear({&x, weight.get(), nullptr, nullptr, FILBERT_GELU_ERF, 1, &y});
      const double exact = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
      // e^(-x^2/2): the rounding of x^2/2 (up to 40) is multiplied into the result
      CHECK(std::abs(y - exact) <= std::abs(exact) * kUlp * (4 + 0.5 * x * x));
    }
  }
}

TEST_CASE("ops: special values pass through activations") {
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    const auto ops = open_isa(kernels->isa, 1);
    const std::vector<float> one = {1.0f};
    const WeightPtr weight = load(*ops, FILBERT_MATRIX, one, 1, 1);
    const auto apply = [&](filbert_activation activation, float x) {
      float y = 0;
      ops->linear({&x, weight.get(), nullptr, nullptr, activation, 1, &y});
      return y;
    };
    CAPTURE(kernels->isa);
    for (int i = 0; i < FILBERT_ACTIVATIONS; ++i) {
      CAPTURE(i);
      CHECK(std::isnan(apply(static_cast<filbert_activation>(i), NAN)));
    }
    CHECK(apply(FILBERT_GELU_ERF, 1e30f) == 1e30f);
    CHECK(std::abs(apply(FILBERT_GELU_ERF, -1e5f)) < 1e-30f);
    CHECK(apply(FILBERT_SIGMOID, 1000.0f) == 1.0f);
    CHECK(apply(FILBERT_TANH, -1000.0f) == -1.0f);
    CHECK(apply(FILBERT_MISH, 1000.0f) == 1000.0f);
  }
}

TEST_CASE("ops: attention against scalar, odd sizes, ragged") {
  const auto scalar = open_isa("scalar");
  const std::vector<AttentionCase> cases = {
      {{1}, 1, 8},          {{5, 1, 9}, 3, 16},         {{64, 65, 63, 16, 17}, 2, 64}, {{300, 7, 129}, 2, 32},
      {{13, 40}, 5, 7},     {{100, 3, 700}, 1, 33},     {{9, 1, 30}, 2, 96, true},     {{130}, 4, 128},
      {{2, 2, 2, 2}, 1, 1}, {{520, 1, 1}, 3, 20, true},
  };
  for (const char* isa : vector_isas()) {
    const auto ops = open_isa(isa);
    for (const AttentionCase& c : cases) {
      CAPTURE(isa);
      CAPTURE(c.head_size);
      CAPTURE(c.lengths.front());
      const AttentionResult found = run_attention(*ops, c);
      const AttentionResult expected = run_attention(*scalar, c);
      // Probabilities sum to one, so the sums do not grow with the length; a score of size ~4 rounds by 4 * 2^-24.
      CHECK(difference(found.out, expected.out) < 40 * kUlp);
      CHECK(difference(found.probabilities, expected.probabilities) < 40 * kUlp);
    }
  }
}

TEST_CASE("ops: a masked first token asks but is not attended") {
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    const auto ops = open_isa(kernels->isa, 1);
    const AttentionResult result = run_attention(*ops, {{4}, 1, 8, true});
    CAPTURE(kernels->isa);
    for (std::size_t query = 0; query < 4; ++query) {
      CHECK(result.probabilities[query * 4] == 0.0f);
      CHECK(std::accumulate(&result.probabilities[query * 4], &result.probabilities[query * 4] + 4, 0.0f) ==
            doctest::Approx(1.0));
    }
  }
}

TEST_CASE("ops: norm, embed_norm and pool against scalar, odd widths") {
  const auto scalar = open_isa("scalar");
  for (const char* isa : vector_isas()) {
    const auto ops = open_isa(isa);
    for (const std::size_t width : {1u, 2u, 7u, 8u, 15u, 16u, 17u, 31u, 33u, 384u, 1023u}) {
      constexpr std::size_t kTokens = 37, kRows = 11;
      const std::vector<float> x = random_floats(kTokens * width, 6, 3.0f);
      const std::vector<float> scale = random_floats(width, 7), shift = random_floats(width, 8);
      const std::vector<float> word = random_floats(kRows * width, 9), place = random_floats(kRows * width, 10);
      std::vector<std::int32_t> ids(kTokens), zeros(kTokens, 0);
      for (std::size_t i = 0; i < kTokens; ++i) ids[i] = static_cast<std::int32_t>(i * 7 % kRows);
      const std::vector<std::int32_t> cu = {0, 1, 20, 37};
      const auto results = [&](const Ops& backend) {
        const WeightPtr gamma = load(backend, FILBERT_VECTOR, scale, width);
        const WeightPtr beta = load(backend, FILBERT_VECTOR, shift, width);
        const WeightPtr words = load(backend, FILBERT_TABLE, word, kRows, width);
        const WeightPtr places = load(backend, FILBERT_TABLE, place, kRows, width);
        std::vector<std::vector<float>> all(8, std::vector<float>(kTokens * width, 0.0f));
        backend.norm({x.data(), gamma.get(), beta.get(), 1e-12f, kTokens, width, all[0].data()});
        backend.embed_norm({ids.data(), zeros.data(), ids.data(), words.get(), nullptr, places.get(), gamma.get(),
                            beta.get(), 1e-5f, kTokens, width, all[1].data()});
        std::size_t next = 2;
        for (const filbert_pooling pooling : {FILBERT_POOL_FIRST, FILBERT_POOL_MEAN, FILBERT_POOL_MAX})
          for (const int normalize : {0, 1})
            backend.pool({x.data(), cu.data(), 3, width, pooling, normalize, all[next++].data()});
        return all;
      };
      const auto found = results(*ops), expected = results(*scalar);
      for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(isa);
        CAPTURE(width);
        CAPTURE(i);
        // Two values a hair apart (width 2) make 1/sigma large, and with it their rounding.
        CHECK(difference(found[i], expected[i]) < (width < 8 ? 2e-3 : 100 * kUlp));
      }
    }
  }
}

TEST_CASE("ops: weights of every dtype, misaligned and joined") {
  const std::vector<float> values = {1.0f, -2.5f, 0.0f, 0.333251953125f, 65504.0f, 6.103515625e-05f};  // exact in f16
  const std::vector<std::uint16_t> half = {0x3c00, 0xc100, 0x0000, 0x3555, 0x7bff, 0x0400};
  std::vector<char> misaligned(values.size() * 4 + 1);
  std::memcpy(misaligned.data() + 1, values.data(), values.size() * 4);
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    const auto ops = open_isa(kernels->isa, 1);
    const auto product = [&](std::vector<filbert_host_tensor> parts) {
      const WeightPtr weight(ops->load_weight(FILBERT_MATRIX, parts.data(), parts.size()), FreeWeight{ops.get()});
      const std::vector<float> x = {1.0f, 0.5f};
      std::vector<float> y(3, NAN);
      ops->linear({x.data(), weight.get(), nullptr, nullptr, FILBERT_IDENTITY, 1, y.data()});
      return y;
    };
    const std::vector<float> expected = product({{values.data(), FILBERT_F32, 3, 2}});
    CHECK(expected[0] == -0.25f);
    CHECK(product({{half.data(), FILBERT_F16, 3, 2}}) == expected);
    CHECK(product({{misaligned.data() + 1, FILBERT_F32, 3, 2}}) == expected);
    const std::vector<double> wide(values.begin(), values.end());
    CHECK(product({{wide.data(), FILBERT_F64, 3, 2}}) == expected);
    CHECK(product({{values.data(), FILBERT_F32, 1, 2}, {half.data() + 2, FILBERT_F16, 2, 2}}) == expected);
    const std::vector<std::uint16_t> brain = {0x3f80, 0xc020, 0x0000, 0x3eab, 0x477f, 0x3880};
    CHECK(product({{brain.data(), FILBERT_BF16, 3, 2}})[0] == -0.25f);
  }
}

TEST_CASE("ops: half precision conversion is exact for every bit pattern") {
  const auto ops = open_isa("scalar", 1);
  std::vector<std::uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), std::uint16_t{0});
  const filbert_host_tensor tensor = {bits.data(), FILBERT_F16, 65536, 1};
  const WeightPtr weight(ops->load_weight(FILBERT_MATRIX, &tensor, 1), FreeWeight{ops.get()});
  const float one = 1.0f;
  std::vector<float> values(65536);
  ops->linear({&one, weight.get(), nullptr, nullptr, FILBERT_IDENTITY, 1, values.data()});
  for (unsigned i = 0; i < 65536; ++i) {
    const int exponent = static_cast<int>(i >> 10 & 31);
    const double mantissa = i & 1023;
    const double magnitude = exponent == 31  ? (mantissa != 0 ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(mantissa, -24)
                                             : std::ldexp(1024 + mantissa, exponent - 25);
    const double expected = i & 0x8000 ? -magnitude : magnitude;
    if (std::isnan(expected) ? !std::isnan(values[i]) : values[i] != expected) FAIL_CHECK("bits ", i, ": ", values[i]);
  }
}

TEST_CASE("ops: a forced instruction set that is not there is refused with the list") {
  const ForcedIsa forced("avx1024");
  CHECK_THROWS_WITH_AS(Ops(cpu::backend(), 0, 1), doctest::Contains("FILBERT_CPU_ISA=avx1024 is not available"),
                       DeviceError);
  CHECK_THROWS_WITH_AS(Ops(cpu::backend(), 0, 1), doctest::Contains("scalar"), DeviceError);
}

TEST_CASE("ops: thread counts out of range are refused") {
  CHECK_THROWS_AS(Ops(cpu::backend(), 0, -1), InputError);
  CHECK_THROWS_AS(Ops(cpu::backend(), 0, 1025), InputError);
  setenv("FILBERT_NUM_THREADS", "two", 1);
  CHECK_THROWS_WITH_AS(Ops(cpu::backend(), 0, 0), doctest::Contains("FILBERT_NUM_THREADS=two"), InputError);
  setenv("FILBERT_NUM_THREADS", "3", 1);
  CHECK(Ops(cpu::backend(), 0, 0).describe().threads == 3);
  unsetenv("FILBERT_NUM_THREADS");
}
