// Linear layers against the scalar loops of the same precision, at sizes around every tile, panel and block. Float sums
// of k terms of size 1 / sqrt(k) in random signs: the i-th partial sum is about sqrt(i / k), and its rounding kUlp of
// that, so a result carries about kUlp sqrt(k) in both implementations.
#include <doctest/doctest.h>

#include "cpu/rotation.h"
#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

constexpr std::size_t kMostRows = 200;

// The largest magnitude of each row [k] after the rotation.
std::vector<double> tops_of(std::vector<float> rows, std::size_t k) {
  std::vector<double> tops;
  for (std::size_t begin = 0; begin < rows.size(); begin += k) {
    cpu::rotate_row(rows.data() + begin, k);
    double top = 0;
    for (std::size_t i = 0; i < k; ++i) top = std::max(top, std::abs(static_cast<double>(rows[begin + i])));
    tops.push_back(top);
  }
  return tops;
}

// The largest |found - expected| of an int8 layer, as a share of what it may be. Integer sums are exact. An instruction
// set may rotate in an order of its own, which moves a number by a few kUlp and so its integer by one if it lay that
// near to a half: one number in thousands. A quantum of the activations is top / 127 and meets a weight of at most its
// row's top.
class I8Error {
 public:
  explicit I8Error(const LinearData& data)
      : x_(tops_of(data.x, data.in)),
        weight_(tops_of(data.weight, data.in)),
        moved_(std::ceil(static_cast<double>(data.in) / 1024)) {}

  double worst(const std::vector<float>& found, const std::vector<float>& expected) const {
    double worst = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double quantum = x_[i / weight_.size()] / 127 * weight_[i % weight_.size()];
      const double allowed = moved_ * quantum + 8 * kUlp * (1 + std::abs(static_cast<double>(expected[i])));
      const double error = std::abs(static_cast<double>(found[i]) - expected[i]) / allowed;
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
    return worst;
  }

 private:
  std::vector<double> x_, weight_;
  double moved_;
};

}  // namespace

TEST_CASE("ops: linear against scalar, odd sizes") {
  struct Opened {
    std::string isa;
    filbert_dtype dtype;
    std::unique_ptr<IsaOps> ops;
  };
  std::vector<Opened> scalars, others;
  for (const filbert_dtype dtype : kComputeTypes) scalars.push_back({"scalar", dtype, open_isa("scalar", dtype)});
  for (const auto& [isa, dtype] : distinct_linear())
    if (isa != "scalar") others.push_back({isa, dtype, open_isa(isa, dtype)});
  for (const std::size_t in : {1u, 3u, 31u, 32u, 33u, 63u, 64u, 65u, 127u, 128u, 129u, 300u, 3072u})
    for (const std::size_t out : {1u, 15u, 16u, 17u, 33u, 64u, 65u, 130u}) {
      const LinearData data(kMostRows, in, out);
      const I8Error i8_error(data);
      const std::vector<std::size_t> row_counts =
          in < 300 ? std::vector<std::size_t>{1, 2, 3, 5, 6, 7, 13, 16, 17, 31, 32, 33, 40, 97, kMostRows}
                   : std::vector<std::size_t>{1, 17, 97};
      for (const Opened& scalar : scalars) {
        const std::vector<float> all = LinearLayer(*scalar.ops, data).run(row_counts.back());
        for (const Opened& other : others) {
          if (other.dtype != scalar.dtype) continue;
          const LinearLayer layer(*other.ops, data);
          for (const std::size_t rows : row_counts) {
            CAPTURE(other.isa);
            CAPTURE(other.dtype);
            CAPTURE(in);
            CAPTURE(out);
            CAPTURE(rows);
            const std::vector<float> expected = slice(all, 0, rows * out);
            const std::vector<float> found = layer.run(rows);
            REQUIRE(found.size() == expected.size());
            if (other.dtype == FILBERT_I8)
              CHECK(i8_error.worst(found, expected) <= 1);
            else
              CHECK(difference(found, expected) < 4 * kUlp * std::sqrt(static_cast<double>(in) + 4));
          }
        }
      }
    }
}

// What the two layers give by themselves: their products have the bits that the gated layer's have.
TEST_CASE("ops: a gated layer is the product of two layers, odd sizes") {
  constexpr std::size_t kRows = 130;
  for (const std::size_t in : {1u, 33u, 130u, 500u})  // the last in blocks of words on AMX
    for (const std::size_t out : {1u, 7u, 8u, 16u, 31u, 64u, 65u, 160u}) {
      const LinearData gate(kRows, in, out);
      std::vector<float> weights = gate.weight, biases = gate.bias;
      const std::vector<float> second = random_floats(out * in, 30, 0.5f), second_bias = random_floats(out, 31);
      weights.insert(weights.end(), second.begin(), second.end());
      biases.insert(biases.end(), second_bias.begin(), second_bias.end());
      for (const auto& [isa, dtype] : distinct_linear()) {
        const auto ops = open_isa(isa, dtype);
        const WeightPtr weight = load_gated(*ops, FILBERT_GATED_MATRIX, weights, out, in);
        const WeightPtr bias = load_gated(*ops, FILBERT_GATED_VECTOR, biases, out);
        const WeightPtr one = load(*ops, FILBERT_MATRIX, gate.weight, out, in);
        const WeightPtr one_bias = load(*ops, FILBERT_VECTOR, gate.bias, out);
        const WeightPtr two = load(*ops, FILBERT_MATRIX, second, out, in);
        const WeightPtr two_bias = load(*ops, FILBERT_VECTOR, second_bias, out);
        const auto product = [&](const WeightPtr& by, const WeightPtr& add, bool has_bias,
                                 filbert_activation activation, std::size_t rows) {
          std::vector<float> y(rows * out + 1, NAN);
          ops->token_ops(
              {linear({gate.x.data(), by.get(), has_bias ? add.get() : nullptr, nullptr, activation, y.data(), 0})},
              rows);
          CHECK(std::isnan(y.back()));
          y.pop_back();
          return y;
        };
        unsigned turn = 0;
        for (int i = 0; i < FILBERT_ACTIVATIONS; i += out == 31 ? 1 : 8)
          for (const std::size_t rows : {std::size_t{1}, std::size_t{17}, kRows}) {
            const bool has_bias = turn++ % 2 == 0;
            CAPTURE(isa);
            CAPTURE(dtype);
            CAPTURE(in);
            CAPTURE(out);
            CAPTURE(rows);
            CAPTURE(i);
            CAPTURE(has_bias);
            const auto activation = static_cast<filbert_activation>(i);
            std::vector<float> expected = product(one, one_bias, has_bias, activation, rows);
            const std::vector<float> factor = product(two, two_bias, has_bias, FILBERT_IDENTITY, rows);
            for (std::size_t j = 0; j < expected.size(); ++j) expected[j] *= factor[j];
            CHECK(same_bits(product(weight, bias, has_bias, activation, rows), expected));
          }
      }
    }
}

TEST_CASE("ops: a low precision is as near to float32 as its rounding says") {
  constexpr std::size_t kRows = 50, kIn = 768, kOut = 96;
  const LinearData data(kRows, kIn, kOut);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const std::vector<float> exact = LinearLayer(*open_isa(isa), data).run(kRows, false, false);
    const auto error = [&](filbert_dtype dtype) {
      const auto ops = open_isa(isa, dtype);
      const std::vector<float> found = LinearLayer(*ops, data).run(kRows, false, false);
      double squares = 0;
      for (std::size_t i = 0; i < found.size(); ++i) squares += std::pow(found[i] - exact[i], 2);
      return std::sqrt(squares / static_cast<double>(found.size()));
    };
    // Results have size 1. Rounding to bfloat16 is off by up to 2^-8 of a value, on both sides of each product; the
    // root mean square of it over a binade is below 2^-8 / sqrt 3.
    CHECK(error(FILBERT_BF16) < std::sqrt(2.0 / 3) / 256);
    CHECK(error(FILBERT_BF16) > 1e-4);
    // A rotated row of 768 normal numbers has its top below 4.5, so a quantum below 4.5 / 127 and its rounding error a
    // root mean square of 1 / sqrt 12 of that; so has a row of weights.
    CHECK(error(FILBERT_I8) < std::sqrt(2.0 / 12) * 4.5 / 127);
    CHECK(error(FILBERT_I8) > 1e-4);
  }
}
