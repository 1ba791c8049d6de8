// Activations, norms, pooling and the loading of weights on every instruction set. Linear layers, attention and what
// the low precisions add have files of their own.
#include <doctest/doctest.h>

#include <cstring>
#include <numeric>
#include <utility>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

TEST_CASE("ops: every activation against scalar, from tiny to saturated") {
  constexpr std::size_t kRows = 40;
  for (const float scale : {1e-4f, 1.0f, 5.0f, 300.0f}) {
    const LinearData data(kRows, 33, 70, scale);
    for (const filbert_dtype dtype : kComputeTypes) {
      const auto scalar = open_isa("scalar", dtype);
      const LinearLayer reference(*scalar, data);
      for (const std::string& isa : vector_isas()) {
        const auto ops = open_isa(isa, dtype);
        const LinearLayer layer(*ops, data);
        for (int i = 0; i < FILBERT_ACTIVATIONS; ++i)
          for (const bool bias : {false, true})
            for (const bool residual : {false, true}) {
              CAPTURE(isa);
              CAPTURE(dtype);
              CAPTURE(scale);
              CAPTURE(i);
              CAPTURE(bias);
              CAPTURE(residual);
              const auto activation = static_cast<filbert_activation>(i);
              // relu2 squares: the error of its argument counts twice. In low precisions GELU may be off by 7e-6 of
              // its argument, which is below 5 times the scale.
              const bool is_short = activation == FILBERT_GELU_ERF && dtype != FILBERT_F32;
              const double allowed = is_short ? 7e-6 * (1 + 5 * scale) : 1e-6 * (1 + scale);
              CHECK(difference(layer.run(kRows, bias, residual, activation),
                               reference.run(kRows, bias, residual, activation)) < allowed);
            }
      }
    }
  }
}

TEST_CASE("ops: gelu keeps its relative accuracy in the negative tail") {
  for (const std::string& isa : vector_isas()) {
    const auto ops = open_isa(isa, FILBERT_F32, 1);
    const std::vector<float> one = {1.0f};
    const WeightPtr weight = load(*ops, FILBERT_MATRIX, one, 1, 1);
    for (float x = -9.0f; x < 9.0f; x += 0.0137f) {
      float y = 0;
      ops->token_ops({linear({&x, weight.get(), nullptr, nullptr, FILBERT_GELU_ERF, &y, 0})}, 1);
      const double exact = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
      // e^(-x^2/2): the rounding of x^2/2 (up to 40) is multiplied into the result
      CHECK(std::abs(y - exact) <= std::abs(exact) * kUlp * (4 + 0.5 * x * x));
    }
  }
}

TEST_CASE("ops: gelu of low precisions is off by less than their operands are") {
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : {FILBERT_BF16, FILBERT_I8}) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      const WeightPtr weight = load(*ops, FILBERT_MATRIX, {1.0f}, 1, 1);
      std::vector<float> x;  // multiples of 2^-3 below 16 and of 8 below 1024 are bfloat16
      for (int i = -128; i <= 128; ++i) x.insert(x.end(), {static_cast<float>(i) / 8, static_cast<float>(i) * 8});
      std::vector<float> y(x.size());
      ops->token_ops({linear({x.data(), weight.get(), nullptr, nullptr, FILBERT_GELU_ERF, y.data(), 0})}, x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        CAPTURE(x[i]);
        const double exact = 0.5 * x[i] * std::erfc(-x[i] / std::sqrt(2.0));
        CHECK(std::abs(y[i] - exact) <=
              (x[i] < -4.4f ? 3.5e-5 : std::max(6.5e-6, 7e-6 * std::abs(static_cast<double>(x[i])))));
      }
    }
}

TEST_CASE("ops: special values pass through activations") {
  for (const std::string& isa : isas()) {
    const auto ops = open_isa(isa, FILBERT_F32, 1);
    const std::vector<float> one = {1.0f};
    const WeightPtr weight = load(*ops, FILBERT_MATRIX, one, 1, 1);
    const auto apply = [&](filbert_activation activation, float x) {
      float y = 0;
      ops->token_ops({linear({&x, weight.get(), nullptr, nullptr, activation, &y, 0})}, 1);
      return y;
    };
    CAPTURE(isa);
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

TEST_CASE("ops: norm, embed, gather and pool against scalar, odd widths") {
  const auto scalar = open_isa("scalar");
  for (const std::string& isa : vector_isas()) {
    const auto ops = open_isa(isa);
    for (const std::size_t width : {1u, 2u, 7u, 8u, 15u, 16u, 17u, 31u, 33u, 384u, 1023u}) {
      constexpr std::size_t kTokens = 37, kRows = 11;
      const std::vector<float> x = random_floats(kTokens * width, 6, 3.0f);
      const std::vector<float> residual = random_floats(kTokens * width, 5);
      const std::vector<float> scale = random_floats(width, 7), shift = random_floats(width, 8);
      const std::vector<float> word = random_floats(kRows * width, 9), place = random_floats(kRows * width, 10);
      std::vector<std::int32_t> ids(kTokens), zeros(kTokens, 0);
      for (std::size_t i = 0; i < kTokens; ++i) ids[i] = static_cast<std::int32_t>(i * 7 % kRows);
      std::vector<float> word_scales = random_floats(kTokens, 11);
      word_scales[3] = 0;
      const std::vector<std::int32_t> cu = {0, 1, 20, 37};
      const filbert_batch batch = {cu.data(), nullptr, nullptr, 3, 19, nullptr, {}};
      const auto results = [&](const Ops& backend) {
        const WeightPtr gamma = load(backend, FILBERT_VECTOR, scale, width);
        const WeightPtr beta = load(backend, FILBERT_VECTOR, shift, width);
        const WeightPtr words = load(backend, FILBERT_TABLE, word, kRows, width);
        const WeightPtr places = load(backend, FILBERT_TABLE, place, kRows, width);
        std::vector<std::vector<float>> all(19, std::vector<float>(kTokens * width, 0.0f));
        std::size_t next = 0;
        for (const filbert_norm_kind kind : {FILBERT_LAYER_NORM, FILBERT_RMS_NORM})
          for (const filbert_weight* add : {beta.get(), static_cast<filbert_weight*>(nullptr)})
            for (const float* more : {static_cast<const float*>(nullptr), residual.data()})
              backend.token_ops({norm({kind, x.data(), gamma.get(), add, 1e-12f, width, all[next++].data(), more})},
                                kTokens);
        for (const float* scales : {static_cast<const float*>(nullptr), std::as_const(word_scales).data()})
          backend.token_ops({embed({ids.data(), zeros.data(), ids.data(), words.get(), nullptr, places.get(), width,
                                    all[next++].data(), 1.25f, scales})},
                            kTokens);
        backend.gather({x.data(), ids.data(), kRows, width, all[next++].data()});
        for (const filbert_pooling pooling :
             {FILBERT_POOL_FIRST, FILBERT_POOL_MEAN, FILBERT_POOL_MAX, FILBERT_POOL_LAST})
          for (const int normalize : {0, 1})
            backend.pool({&batch, x.data(), width, pooling, normalize, all[next++].data()});
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
      for (std::size_t i = 0; i < kRows; ++i)
        CHECK(same_bits(slice(found[10], i * width, width), slice(x, static_cast<std::size_t>(ids[i]) * width, width)));
      for (std::size_t s = 0; s < 3; ++s)
        CHECK(same_bits(slice(found[17], s * width, width),
                        slice(x, static_cast<std::size_t>(cu[s + 1] - 1) * width, width)));
    }
  }
}

TEST_CASE("ops: products of activations, bit for bit, also of what is handed on") {
  constexpr std::size_t kTokens = 37;
  for (const std::size_t width : {1u, 7u, 16u, 33u, 130u}) {
    const std::vector<float> x = random_floats(kTokens * width, 1), y = random_floats(kTokens * width, 2);
    const std::vector<float> factor = {0.7f}, ones(width, 1.0f);
    std::vector<float> scaled(x.size()), both(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      scaled[i] = factor[0] * x[i];
      both[i] = scaled[i] * y[i];
    }
    for (const std::string& isa : isas()) {
      CAPTURE(isa);
      CAPTURE(width);
      const auto ops = open_isa(isa);
      const WeightPtr weight = load(*ops, FILBERT_VECTOR, factor, 1);
      std::vector<float> found(x.size()), again(x.size());
      const auto run = [&](const float* other, const filbert_weight* by) {
        ops->token_ops({multiply({x.data(), other, by, width, found.data()})}, kTokens);
        return found;
      };
      CHECK(same_bits(run(nullptr, nullptr), x));
      CHECK(same_bits(run(nullptr, weight.get()), scaled));
      CHECK(same_bits(run(y.data(), weight.get()), both));
      ops->token_ops({multiply({x.data(), nullptr, weight.get(), width, again.data()}, FILBERT_NEXT_ALONE),
                      multiply({again.data(), y.data(), nullptr, width, found.data()})},
                     kTokens);
      CHECK(same_bits(found, both));
    }
  }
}

TEST_CASE("ops: the largest of a column is a number where there is one") {
  constexpr std::size_t kWidth = 35;
  const std::vector<std::int32_t> cu = {0, 3};
  const filbert_batch batch = {cu.data(), nullptr, nullptr, 1, 3, nullptr, {}};
  std::vector<float> x(3 * kWidth);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t column = i % kWidth, row = i / kWidth;
    x[i] = (column >> row & 1) != 0 ? NAN : static_cast<float>(row) - 1.5f;
  }
  const auto largest = [&](const std::string& isa) {
    std::vector<float> out(kWidth);
    open_isa(isa)->pool({&batch, x.data(), kWidth, FILBERT_POOL_MAX, 0, out.data()});
    return out;
  };
  const std::vector<float> expected = largest("scalar");
  for (std::size_t i = 0; i < kWidth; ++i) CHECK(std::isnan(expected[i]) == (i % 8 == 7));
  for (const std::string& isa : vector_isas()) {
    CAPTURE(isa);
    const std::vector<float> found = largest(isa);
    for (std::size_t i = 0; i < kWidth; ++i)
      CHECK((found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i]))));
  }
}

TEST_CASE("ops: norms of heads are those of their rows, and touch nothing beside them") {
  constexpr std::size_t kTokens = 130, kCount = 3;
  for (const std::string& isa : isas())
    for (const std::size_t head_size : {1u, 5u, 16u, 27u}) {
      const std::size_t column = head_size, width = (kCount + 2) * head_size;
      const std::vector<float> x = random_floats(kTokens * width, 6, 3.0f);
      CAPTURE(isa);
      CAPTURE(head_size);
      const auto ops = open_isa(isa);
      const WeightPtr gamma = load(*ops, FILBERT_VECTOR, random_floats(head_size, 7), head_size);
      const WeightPtr beta = load(*ops, FILBERT_VECTOR, random_floats(head_size, 8), head_size);
      const WeightPtr identity = load_identity(*ops, width);
      for (const filbert_norm_kind kind : {FILBERT_LAYER_NORM, FILBERT_RMS_NORM}) {
        std::vector<float> found(x.size()), expected = x;
        for (std::size_t token = 0; token < kTokens; ++token)
          for (std::size_t head = 0; head < kCount; ++head) {
            const std::size_t at = token * width + column + head * head_size;
            const std::vector<float> row = slice(x, at, head_size);
            ops->token_ops(
                {norm({kind, row.data(), gamma.get(), beta.get(), 1e-6f, head_size, &expected[at], nullptr})}, 1);
          }
        ops->token_ops(
            {linear({x.data(), identity.get(), nullptr, nullptr, FILBERT_IDENTITY, found.data(), head_size}),
             head_norm(
                 {kind, {found.data(), width, column, kTokens}, kCount, head_size, gamma.get(), beta.get(), 1e-6f})},
            kTokens);
        CHECK(same_bits(found, expected));
      }
    }
}

TEST_CASE("ops: rotary positions against double precision, from the first to the last that a float holds") {
  constexpr std::size_t kCount = 2;
  const std::vector<std::int32_t> positions = {0, 1, 2, 3, 100, 511, 8191, 65537, 1000003, 1 << 24};
  const std::size_t tokens = positions.size();
  for (const std::size_t head_size : {2u, 30u, 64u, 100u})
    for (const std::size_t rotary : {std::size_t{2}, head_size / 2 / 2 * 2, head_size}) {
      if (rotary == 0) continue;
      const std::size_t column = head_size, width = (kCount + 2) * head_size;
      const std::vector<float> x = random_floats(tokens * width, 3);
      std::vector<float> frequencies(rotary / 2);
      for (std::size_t i = 0; i < frequencies.size(); ++i)
        frequencies[i] =
            static_cast<float>(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary)));
      std::vector<float> expected = x;
      for (std::size_t token = 0; token < tokens; ++token)
        for (std::size_t head = 0; head < kCount; ++head)
          for (std::size_t i = 0; i < rotary / 2; ++i) {
            // The angle is a float32, as it is in transformers.
            const double angle = static_cast<float>(positions[token]) * frequencies[i];
            const std::size_t at = token * width + column + head * head_size + i;
            const double low = x[at], high = x[at + rotary / 2];
            expected[at] = static_cast<float>(low * std::cos(angle) - high * std::sin(angle));
            expected[at + rotary / 2] = static_cast<float>(high * std::cos(angle) + low * std::sin(angle));
          }
      for (const std::string& isa : isas()) {
        CAPTURE(isa);
        CAPTURE(head_size);
        CAPTURE(rotary);
        const auto ops = open_isa(isa);
        const WeightPtr weight = load(*ops, FILBERT_VECTOR, frequencies, frequencies.size());
        const WeightPtr identity = load_identity(*ops, width);
        std::vector<float> found(x.size());
        ops->token_ops(
            {linear({x.data(), identity.get(), nullptr, nullptr, FILBERT_IDENTITY, found.data(), head_size}),
             rope({{found.data(), width, column, tokens}, kCount, head_size, positions.data(), weight.get(), rotary})},
            tokens);
        // Cosine and sine are off by 1e-7 at most, and meet numbers below 5.
        CHECK(difference(found, expected) < 10 * 1e-7);
      }
    }
}

TEST_CASE("ops: an op on heads that are not made right before it is an error") {
  for (const auto& [isa, dtype] : distinct_linear()) {
    const auto ops = open_isa(isa, dtype, 1);
    std::vector<float> x(4, 1.0f), y(4);
    const std::int32_t position = 0;
    const WeightPtr vector = load(*ops, FILBERT_VECTOR, x, 4), identity = load_identity(*ops, 4);
    const auto made = [&](std::size_t head_size) {
      return linear({x.data(), identity.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), head_size});
    };
    const filbert_token_op turn = rope({{y.data(), 4, 0, 1}, 1, 4, &position, vector.get(), 4});
    const filbert_token_op normed = norm({FILBERT_RMS_NORM, x.data(), vector.get(), nullptr, 1, 4, y.data(), nullptr});
    CHECK_NOTHROW(ops->token_ops({made(4), turn, turn}, 1));
    const char* const error = "cpu: an op on heads has to come right behind the linear op that makes them";
    filbert_token_op elsewhere = turn;
    elsewhere.args.rope.heads.x = x.data();
    CHECK_THROWS_WITH_AS(ops->token_ops({turn}, 1), error, DeviceError);
    CHECK_THROWS_WITH_AS(ops->token_ops({made(4), elsewhere}, 1), error, DeviceError);
    CHECK_THROWS_WITH_AS(ops->token_ops({made(0), turn}, 1), error, DeviceError);
    CHECK_THROWS_WITH_AS(ops->token_ops({made(4), normed, turn}, 1), error, DeviceError);
  }
}

TEST_CASE("ops: an op of an unknown kind is an error") {
  for (const std::string& isa : {std::string("scalar"), isas().front()}) {
    const auto ops = open_isa(isa, FILBERT_F32, 1);
    filbert_token_op op = {};
    op.kind = static_cast<filbert_token_op_kind>(7);
    CHECK_THROWS_WITH_AS(ops->token_ops({op}, 1), "cpu: unknown op 7", DeviceError);
  }
}

TEST_CASE("ops: weights of every dtype, misaligned and joined") {
  const std::vector<float> values = {1.0f, -2.5f, 0.0f, 0.333251953125f, 65504.0f, 6.103515625e-05f};  // exact in f16
  const std::vector<std::uint16_t> half = {0x3c00, 0xc100, 0x0000, 0x3555, 0x7bff, 0x0400};
  const std::vector<std::uint16_t> brain = {0x3f80, 0xc020, 0x0000, 0x3eab, 0x477f, 0x3880};
  const std::vector<double> wide(values.begin(), values.end());
  std::vector<char> misaligned(values.size() * 4 + 1);
  std::memcpy(misaligned.data() + 1, values.data(), values.size() * 4);
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      CAPTURE(isa);
      CAPTURE(dtype);
      const auto ops = open_isa(isa, dtype, 1);
      const auto product = [&](std::vector<filbert_host_tensor> parts) {
        const WeightPtr weight(ops->load_weight(FILBERT_MATRIX, parts.data(), parts.size()), FreeWeight{ops.get()});
        const std::vector<float> x = {1.0f, 0.5f};
        std::vector<float> y(3, NAN);
        ops->token_ops({linear({x.data(), weight.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), 0})}, 1);
        return y;
      };
      const std::vector<float> expected = product({{values.data(), FILBERT_F32, 3, 2}});
      // int8: 0.5 is 64 parts of 1/127, and 1 is 51 parts of 2.5/127.
      CHECK(expected[0] == doctest::Approx(dtype == FILBERT_I8 ? (51 * 127 - 127 * 64) * 2.5 / (127 * 127) : -0.25));
      CHECK(product({{half.data(), FILBERT_F16, 3, 2}}) == expected);
      CHECK(product({{misaligned.data() + 1, FILBERT_F32, 3, 2}}) == expected);
      CHECK(product({{wide.data(), FILBERT_F64, 3, 2}}) == expected);
      CHECK(product({{values.data(), FILBERT_F32, 1, 2}, {half.data() + 2, FILBERT_F16, 2, 2}}) == expected);
      CHECK(product({{brain.data(), FILBERT_BF16, 3, 2}})[0] == expected[0]);
    }
}

TEST_CASE("ops: half precision conversion is exact for every bit pattern") {
  const auto ops = open_isa("scalar", FILBERT_F32, 1);
  std::vector<std::uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), std::uint16_t{0});
  const filbert_host_tensor tensor = {bits.data(), FILBERT_F16, 65536, 1};
  const WeightPtr weight(ops->load_weight(FILBERT_MATRIX, &tensor, 1), FreeWeight{ops.get()});
  const float one = 1.0f;
  std::vector<float> values(65536);
  ops->token_ops({linear({&one, weight.get(), nullptr, nullptr, FILBERT_IDENTITY, values.data(), 0})}, 1);
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
