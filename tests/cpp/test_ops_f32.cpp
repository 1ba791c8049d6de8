// float32 layers: as precise as a chain of multiply-adds, and with the values of float32 where numbers are not
// ordinary, whatever an instruction set multiplies them by.
#include <doctest/doctest.h>

#include <bit>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// The root mean square of found - x weight^T in double.
double error_of(const LinearData& data, const std::vector<float>& found) {
  double squares = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    double sum = 0;
    for (std::size_t k = 0; k < data.in; ++k)
      sum += static_cast<double>(data.x[i / data.out * data.in + k]) * data.weight[i % data.out * data.in + k];
    squares += (found[i] - sum) * (found[i] - sum);
  }
  return std::sqrt(squares / static_cast<double>(found.size()));
}

std::vector<float> chains_of_multiply_adds(const LinearData& data) {
  std::vector<float> result(data.rows * data.out);
  for (std::size_t i = 0; i < result.size(); ++i)
    for (std::size_t k = 0; k < data.in; ++k)
      result[i] = std::fma(data.x[i / data.out * data.in + k], data.weight[i % data.out * data.in + k], result[i]);
  return result;
}

constexpr float kSubnormal = 0x1.234p-135f;

// Rows of a matrix [rows, k] that are out of the ordinary, each in its own way; the others are left as they are.
constexpr std::size_t kKinds = 12;
void make_special(std::vector<float>& rows, std::size_t k, std::size_t row, std::size_t kind) {
  float* const x = rows.data() + row * k;
  const auto scale = [&](float factor) {
    for (std::size_t i = 0; i < k; ++i) x[i] *= factor;
  };
  if (kind == 1) x[k / 2] = INFINITY;
  if (kind == 2) x[k - 1] = NAN;
  if (kind == 3) x[0] = std::bit_cast<float>(0x7f800001u);  // a NaN whose upper half is infinite
  if (kind == 4) scale(1e30f);
  if (kind == 5) scale(1e-30f);
  if (kind == 6) scale(1e-40f);
  if (kind == 7) x[k / 3] = kSubnormal;
  if (kind == 8) scale(0.0f);
  if (kind == 9) x[1] = -INFINITY, x[k - 2] = 1e-45f;
  if (kind == 10) x[k / 2] = 3e38f;
  if (kind == 11) scale(1e-30f), x[k / 2] = -kSubnormal;
}

struct Special {
  LinearData data;
  std::vector<float> ordinary_x;

  // Of every kind a row, with an ordinary one before it. So the columns, if they are wanted, with 16 before each: some
  // panels have one and others none, and a whole one is ordinary.
  Special(std::size_t in, bool columns) : data(2 * kKinds + 10, in, 32 + 17 * kKinds), ordinary_x(data.x) {
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
      make_special(data.x, in, 2 * kind + 1, kind);
      if (columns) make_special(data.weight, in, 32 + 17 * kind + 16, kind);
    }
  }
  bool is_special(std::size_t row) const { return row % 2 == 1 && row < 2 * kKinds; }

  // Whether a result is what float32 gives: the same infinity, a NaN, or off by no more than all roundings together. A
  // sum that overflows on its way may become an infinity or a NaN, as its order has it.
  bool is_right(std::size_t i, float found, float expected) const {
    double size = 0;
    for (std::size_t k = 0; k < data.in; ++k)
      size +=
          std::abs(static_cast<double>(data.x[i / data.out * data.in + k]) * data.weight[i % data.out * data.in + k]);
    if (std::isfinite(size) && size > 0x1p127 && !(std::isfinite(found) && std::isfinite(expected))) return true;
    if (std::isnan(expected)) return std::isnan(found);
    if (std::isinf(expected)) return found == expected;
    const auto count = static_cast<double>(data.in);
    return std::abs(static_cast<double>(found) - expected) <= 2 * count * (kUlp * size + 0x1p-149);
  }
};

}  // namespace

// All sets sum in blocks that are shorter than the chain, and those that multiply parts leave out what is below 2^-22
// of a product at the most, and 2^-24 and of random sign as a rule, where a rounding of the sum is up to 2^-24 of the
// sum.
TEST_CASE("ops: float32, no less precise than multiply-adds") {
  for (const std::size_t in : {768u, 3072u}) {
    const LinearData data(48, in, 64);
    const double chain = error_of(data, chains_of_multiply_adds(data));
    const double scalar = error_of(data, LinearLayer(*open_isa("scalar"), data).run(data.rows, false, false));
    for (const std::string& isa : vector_isas()) {
      CAPTURE(isa);
      CAPTURE(in);
      const double error = error_of(data, LinearLayer(*open_isa(isa), data).run(data.rows, false, false));
      CAPTURE(scalar);
      CHECK(error < chain);
      CHECK(error < 1.1 * scalar);  // the same blocks; 3072 errors tell their root mean square within a few percent
    }
  }
}

TEST_CASE("ops: float32, infinities, NaN, huge and subnormal numbers") {
  for (const std::size_t in : {70u, 300u})
    for (const bool columns : {false, true}) {
      const Special special(in, columns);
      const LinearData& data = special.data;
      const std::vector<float> expected = LinearLayer(*open_isa("scalar"), data).run(data.rows, false, false);
      for (const std::string& isa : vector_isas()) {
        const auto ops = open_isa(isa);
        const std::vector<float> found = LinearLayer(*ops, data).run(data.rows, false, false);
        for (std::size_t i = 0; i < found.size(); ++i) {
          CAPTURE(isa);
          CAPTURE(in);
          CAPTURE(i / data.out);
          CAPTURE(i % data.out);
          CAPTURE(found[i]);
          CAPTURE(expected[i]);
          REQUIRE(special.is_right(i, found[i], expected[i]));
        }
      }
    }
}

TEST_CASE("ops: float32, special rows do not touch the others, nor these them") {
  for (const bool columns : {false, true}) {
    const Special special(300, columns);
    LinearData ordinary = special.data;
    ordinary.x = special.ordinary_x;
    const std::size_t out = ordinary.out;
    for (const std::string& isa : isas()) {
      const auto ops = open_isa(isa);
      const std::vector<float> mixed = LinearLayer(*ops, special.data).run(ordinary.rows, true, false);
      const std::vector<float> plain = LinearLayer(*ops, ordinary).run(ordinary.rows, true, false);
      for (std::size_t row = 0; row < ordinary.rows; ++row) {
        CAPTURE(isa);
        CAPTURE(row);
        LinearData alone = special.data;
        alone.x = slice(special.data.x, row * alone.in, alone.in);
        const std::vector<float> result = slice(mixed, row * out, out);
        REQUIRE(same_bits(LinearLayer(*ops, alone).run(1, true, false), result));
        if (!special.is_special(row)) REQUIRE(same_bits(slice(plain, row * out, out), result));
      }
    }
  }
}

// Many rows hand an operand to the next layer, in which every number has to be what it was.
TEST_CASE("ops: float32, special rows from layer to layer") {
  constexpr std::size_t kWidth = 96, kRows = 200;
  LinearData data(kRows, kWidth, kWidth);
  for (std::size_t row = 0; row < kRows; row += 3) make_special(data.x, kWidth, row, row / 3 % kKinds);
  LinearData last(kRows, kWidth, 70);
  make_special(last.weight, kWidth, 40, 2);
  for (const std::string& isa : isas()) {
    const auto ops = open_isa(isa);
    std::vector<float> identity(kWidth * kWidth);
    for (std::size_t i = 0; i < kWidth; ++i) identity[i * kWidth + i] = 1.0f;
    const WeightPtr first = load(*ops, FILBERT_MATRIX, identity, kWidth, kWidth);
    const WeightPtr mixing = load(*ops, FILBERT_MATRIX, data.weight, kWidth, kWidth);
    const WeightPtr second = load(*ops, FILBERT_MATRIX, last.weight, last.out, kWidth);
    for (const WeightPtr* by : {&first, &mixing}) {
      std::vector<float> inner(kRows * kWidth), one(kRows * last.out), both = one;
      const auto layer = [&](const std::vector<float>& x, const WeightPtr& w, std::vector<float>& y,
                             filbert_readers readers) {
        return linear({x.data(), w.get(), nullptr, nullptr, FILBERT_IDENTITY, y.data(), 0}, readers);
      };
      ops->token_ops({layer(data.x, *by, inner, FILBERT_OTHERS)}, kRows);
      ops->token_ops({layer(inner, second, one, FILBERT_OTHERS)}, kRows);
      ops->token_ops({layer(data.x, *by, inner, FILBERT_NEXT_ALONE), layer(inner, second, both, FILBERT_OTHERS)},
                     kRows);
      for (std::size_t row = 0; row < kRows; ++row) {
        CAPTURE(isa);
        CAPTURE(row);
        CHECK(same_bits(slice(both, row * last.out, last.out), slice(one, row * last.out, last.out)));
      }
    }
  }
}

TEST_CASE("ops: float32, a row has the same bits with any others and any split of the columns") {
  const LinearData data(200, 300, 210);
  for (const std::string& isa : isas()) {
    const std::vector<float> all = LinearLayer(*open_isa(isa, FILBERT_F32, 1), data).run(data.rows);
    for (const int threads : {1, 2, 3, 7}) {
      const auto ops = open_isa(isa, FILBERT_F32, threads);
      const LinearLayer layer(*ops, data);
      for (const std::size_t rows : {1u, 5u, 8u, 16u, 17u, 32u, 33u, 100u, 200u}) {
        CAPTURE(isa);
        CAPTURE(threads);
        CAPTURE(rows);
        CHECK(same_bits(layer.run(rows), slice(all, 0, rows * data.out)));
      }
    }
  }
}
