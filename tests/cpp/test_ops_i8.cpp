// int8 products at the limits: the largest integers, rows that are no numbers, rows of zeros.
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>

#include "cpu/rotation.h"
#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// A row that the rotation turns into these numbers, but for rounding: it is its own inverse.
std::vector<float> rotated_into(std::vector<float> row) {
  cpu::rotate_row(row.data(), row.size());
  return row;
}

double top_of(std::vector<float> row) {
  cpu::rotate_row(row.data(), row.size());
  double top = 0;
  for (const float value : row) top = std::max(top, std::abs(static_cast<double>(value)));
  return top;
}

}  // namespace

TEST_CASE("ops: int8 sums of the largest integers are exact, whatever their signs") {
  using Sign = float (*)(std::size_t);
  const Sign signs[] = {
      [](std::size_t) { return 1.0f; },
      [](std::size_t) { return -1.0f; },
      [](std::size_t i) { return i % 2 == 0 ? 1.0f : -1.0f; },
      [](std::size_t i) { return i % 3 == 0 ? -1.0f : 1.0f; },
  };
  for (const std::size_t k : {2u, 4u, 63u, 64u, 127u, 128u, 200u, 3072u, 4096u, 65536u}) {
    std::vector<float> rows;
    for (const Sign sign : signs) {
      std::vector<float> row(k);
      for (std::size_t i = 0; i < k; ++i) row[i] = sign(i);
      row = rotated_into(row);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    for (const std::string& isa : isas()) {
      const auto ops = open_isa(isa, FILBERT_I8);
      const std::vector<float> found = multiply(*ops, rows, rows, k, 4);
      for (std::size_t x = 0; x < 4; ++x)
        for (std::size_t w = 0; w < 4; ++w) {
          CAPTURE(isa);
          CAPTURE(k);
          CAPTURE(x);
          CAPTURE(w);
          std::int64_t sum = 0;
          for (std::size_t i = 0; i < k; ++i) sum += static_cast<std::int64_t>(127 * 127 * signs[x](i) * signs[w](i));
          const double expected =
              static_cast<double>(sum) * top_of(slice(rows, x * k, k)) / 127 * top_of(slice(rows, w * k, k)) / 127;
          // Two scales of two roundings each, the sum to float32, two products.
          CHECK(std::abs(found[x * 4 + w] - expected) <= 8 * kUlp * std::abs(expected));
        }
    }
  }
}

TEST_CASE("ops: int8 and bfloat16, a NaN or an infinity is seen in its own row, and nowhere else") {
  constexpr std::size_t kRows = 70, kOut = 33;
  for (const std::size_t in : {5u, 128u, 300u}) {
    const LinearData data(kRows, in, kOut);
    for (const std::string& isa : isas())
      for (const filbert_dtype dtype : {FILBERT_I8, FILBERT_BF16}) {
        const auto ops = open_isa(isa, dtype);
        const std::vector<float> clean = multiply(*ops, data.x, data.weight, in, kOut);
        for (const float bad : {NAN, INFINITY, -INFINITY})
          for (const std::size_t row : {std::size_t{0}, std::size_t{31}, kRows - 1})
            for (const std::size_t column : {std::size_t{0}, in / 2, in - 1}) {
              CAPTURE(isa);
              CAPTURE(dtype);
              CAPTURE(in);
              CAPTURE(bad);
              CAPTURE(row);
              CAPTURE(column);
              std::vector<float> x = data.x;
              x[row * in + column] = bad;
              std::vector<float> found = multiply(*ops, x, data.weight, in, kOut);
              bool finite = false;
              for (std::size_t j = 0; j < kOut; ++j) {
                finite |= std::isfinite(found[row * kOut + j]);
                found[row * kOut + j] = clean[row * kOut + j];
              }
              CHECK_FALSE(finite);
              CHECK(same_bits(found, clean));
            }
      }
  }
}

TEST_CASE(
    "ops: int8 and bfloat16, a NaN or an infinity among the weights is seen in its own column, and nowhere else") {
  constexpr std::size_t kRows = 40, kIn = 130, kOut = 70;
  const LinearData data(kRows, kIn, kOut);
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : {FILBERT_I8, FILBERT_BF16}) {
      const auto ops = open_isa(isa, dtype);
      const std::vector<float> clean = multiply(*ops, data.x, data.weight, kIn, kOut);
      for (const float bad : {NAN, INFINITY})
        for (const std::size_t column : {0u, 63u, 69u}) {
          CAPTURE(isa);
          CAPTURE(dtype);
          CAPTURE(bad);
          CAPTURE(column);
          std::vector<float> weight = data.weight;
          weight[column * kIn + 129] = bad;
          std::vector<float> found = multiply(*ops, data.x, weight, kIn, kOut);
          bool finite = false;
          for (std::size_t row = 0; row < kRows; ++row) {
            finite |= std::isfinite(found[row * kOut + column]);
            found[row * kOut + column] = clean[row * kOut + column];
          }
          CHECK_FALSE(finite);
          CHECK(same_bits(found, clean));
        }
    }
}

TEST_CASE("ops: int8, rows of zeros give the bias, and rows next to zero are next to it") {
  constexpr std::size_t kRows = 20, kOut = 17;
  for (const std::size_t in : {1u, 64u, 128u, 300u}) {
    LinearData data(kRows, in, kOut);
    for (const std::string& isa : isas()) {
      CAPTURE(isa);
      CAPTURE(in);
      const auto ops = open_isa(isa, FILBERT_I8);
      // 127 / x overflows for the smaller two.
      for (const float tiny : {0.0f, -0.0f, 1e-30f, 1e-38f, std::numeric_limits<float>::denorm_min()}) {
        CAPTURE(tiny);
        data.x.assign(data.x.size(), tiny);
        const std::vector<float> found = LinearLayer(*ops, data).run(kRows, true, false);
        for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(found[i] == data.bias[i % kOut]);
      }
      const std::vector<float> ones(kRows * in, 1.0f);
      for (const float tiny : {0.0f, 1e-38f}) {
        CAPTURE(tiny);
        const std::vector<float> weight(kOut * in, tiny);
        const std::vector<float> zeros(kRows * kOut, 0.0f);
        // Weights whose integers cannot be computed are taken as zeros.
        REQUIRE(multiply(*ops, ones, weight, in, kOut) == zeros);
      }
    }
  }
}

TEST_CASE("ops: int8, the scale of a row changes nothing but the scale of its result") {
  constexpr std::size_t kOut = 19, kIn = 300;
  const LinearData data(1, kIn, kOut);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const auto ops = open_isa(isa, FILBERT_I8);
    const std::vector<float> expected = multiply(*ops, data.x, data.weight, kIn, kOut);
    for (const float scale : {0x1p-100f, 0x1p-3f, 0x1p70f}) {  // powers of two round nothing
      std::vector<float> x = data.x;
      for (float& value : x) value *= scale;
      std::vector<float> found = multiply(*ops, x, data.weight, kIn, kOut);
      for (float& value : found) value /= scale;
      CHECK(found == expected);
    }
  }
}

TEST_CASE("ops: int8, columns are balanced where the norm before the layer is known") {
  constexpr std::size_t kRows = 60, kIn = 300, kOut = 70;
  // What a layer norm gives: columns of very different sizes, one of them dead.
  std::vector<float> gamma = random_floats(kIn, 20), beta = random_floats(kIn, 21, 0.1f);
  for (std::size_t i = 0; i < kIn; ++i) gamma[i] = i % 37 == 5 ? 30.0f : gamma[i];
  gamma[7] = beta[7] = 0.0f;
  std::vector<float> x = random_floats(kRows * kIn, 22);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = x[i] * gamma[i % kIn] + beta[i % kIn];
  const std::vector<float> weight = random_floats(kOut * kIn, 23);
  const filbert_input_norm norm = {{gamma.data(), FILBERT_F32, kIn, 1}, {beta.data(), FILBERT_F32, kIn, 1}, 0};
  const auto product = [&](const std::string& isa, filbert_dtype dtype, bool balanced) {
    const auto ops = open_isa(isa, dtype);
    const WeightPtr loaded = load(*ops, FILBERT_MATRIX, weight, kOut, kIn, balanced ? &norm : nullptr);
    std::vector<float> y(kRows * kOut, NAN);
    ops->token_ops({linear({x.data(), loaded.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), 0})}, kRows);
    return y;
  };
  const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
    double squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
    return std::sqrt(squares / static_cast<double>(a.size()));
  };
  const std::vector<float> exact = product("scalar", FILBERT_F32, false);
  CHECK(same_bits(product("scalar", FILBERT_F32, true), exact));
  const std::vector<float> scalar = product("scalar", FILBERT_I8, true);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const std::vector<float> balanced = product(isa, FILBERT_I8, true);
    CHECK(distance(balanced, exact) < 0.75 * distance(product(isa, FILBERT_I8, false), exact));
    // A handful of integers may be others than those of the scalar loops.
    CHECK(distance(balanced, scalar) < 0.02 * distance(scalar, exact));
  }
}

// Errors of the rows that count, where the others have other columns that are large, and x those that the norm's gamma
// does not tell of.
TEST_CASE("ops: int8, columns are balanced by the rows that count") {
  constexpr std::size_t kRows = 60, kIn = 256, kOut = 40, kFirst = 16;
  const std::vector<float> gamma(kIn, 1.0f);
  std::vector<float> x = random_floats(kRows * kIn, 22);
  std::vector<float> weight = random_floats(kOut * kIn, 23);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % kIn == 70 ? 30.0f : 1.0f;
  for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= i / kIn >= kFirst && i % kIn == 70 ? 0.02f : 1.0f;
  // The root of the mean square error of the rows from kFirst on.
  const auto error = [&](const std::string& isa, std::size_t first_row) {
    const filbert_input_norm norm = {{gamma.data(), FILBERT_F32, kIn, 1}, {}, first_row};
    const auto ops = open_isa(isa, FILBERT_I8);
    const WeightPtr loaded = load(*ops, FILBERT_MATRIX, weight, kOut, kIn, &norm);
    std::vector<float> y(kRows * kOut, NAN);
    ops->token_ops({linear({x.data(), loaded.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), 0})}, kRows);
    double squares = 0;
    for (std::size_t row = 0; row < kRows; ++row)
      for (std::size_t column = kFirst; column < kOut; ++column) {
        double exact = 0;
        for (std::size_t i = 0; i < kIn; ++i) exact += static_cast<double>(x[row * kIn + i]) * weight[column * kIn + i];
        squares += std::pow(y[row * kOut + column] - exact, 2);
      }
    return std::sqrt(squares / (kRows * (kOut - kFirst)));
  };
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    CHECK(error(isa, kFirst) < 0.75 * error(isa, 0));
  }
}

// The two layers would be balanced each by its own columns, so the products are compared with float32's.
TEST_CASE("ops: int8, a gated layer is balanced by the columns of both parts, and a norm may have no beta") {
  constexpr std::size_t kRows = 60, kIn = 300, kOut = 70;
  std::vector<float> gamma = random_floats(kIn, 20);
  for (std::size_t i = 0; i < kIn; ++i) gamma[i] = i % 37 == 5 ? 30.0f : gamma[i];
  std::vector<float> x = random_floats(kRows * kIn, 22);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= gamma[i % kIn];
  const std::vector<float> weights = random_floats(2 * kOut * kIn, 23, 0.02f);
  const filbert_input_norm norm = {{gamma.data(), FILBERT_F32, kIn, 1}, {}, 0};
  const auto product = [&](const std::string& isa, filbert_dtype dtype, bool balanced) {
    const auto ops = open_isa(isa, dtype);
    const WeightPtr loaded = load_gated(*ops, FILBERT_GATED_MATRIX, weights, kOut, kIn, balanced ? &norm : nullptr);
    std::vector<float> y(kRows * kOut, NAN);
    ops->token_ops({linear({x.data(), loaded.get(), nullptr, nullptr, FILBERT_SILU, y.data(), 0})}, kRows);
    return y;
  };
  const auto distance = [](const std::vector<float>& a, const std::vector<float>& b) {
    double squares = 0;
    for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
    return std::sqrt(squares / static_cast<double>(a.size()));
  };
  const std::vector<float> exact = product("scalar", FILBERT_F32, false);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    CHECK(distance(product(isa, FILBERT_I8, true), exact) < 0.75 * distance(product(isa, FILBERT_I8, false), exact));
  }
}
