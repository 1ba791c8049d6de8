// Matrix products with a gate in their epilogue, as test_linear.cpp, and the order of a gated weight's rows.
#include <doctest/doctest.h>

#include "linear_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

// Gate and other are numbers of the seeds 2 and 3: [n, k] each, and [n] for the biases. `shift` misaligns all matrices.
struct Gated {
  Type type;
  std::size_t rows, k, n, shift;
  std::vector<float> x, both, bias;
  TypedArray device_x, weight;
  DeviceArray<float> device_bias;

  Gated(Type type_, std::size_t rows_, std::size_t k_, std::size_t n_, std::size_t shift_ = 0)
      : type(type_),
        rows(rows_),
        k(k_),
        n(n_),
        shift(shift_),
        x(numbers_of(type, rows * k, 1, 1.0f)),
        both(numbers_of(type, 2 * n * k, 2, 1.0f / std::sqrt(static_cast<float>(k)))),
        bias(random_floats(2 * n, 3, 2.0f)),
        device_x(type, x, shift),
        weight(type, gated_rows(type, n) * k, shift),
        device_bias(bias) {
    load();
  }

  void load() const {
    const TypedArray parts(type, both);
    REQUIRE(interleave(type, {parts.data(), n, k, weight.data()}, nullptr) == cudaSuccess);
  }

  std::vector<float> run(std::optional<int> tile, std::size_t first, std::size_t count, filbert_activation activation,
                         bool with_bias = true) const {
    const TypedArray out(type, count * n, shift);
    const Linear task = {static_cast<const char*>(device_x.data()) + first * k * size_of(type),
                         weight.data(),
                         with_bias ? device_bias.data() : nullptr,
                         nullptr,
                         activation,
                         count,
                         n,
                         k,
                         out.data(),
                         true};
    REQUIRE(run_linear(type, tile, task) == cudaSuccess);
    return out.host();
  }
};

// As in test_linear.cpp: either sum is off by in_sum, the activation by 8 kUlp besides; then come a product and one
// rounding to the type.
double worst_error(const Gated& layer, const std::vector<float>& found, filbert_activation activation, bool bias) {
  double worst = found.size() == layer.rows * layer.n ? 0 : INFINITY;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::size_t row = i / layer.n, column = i % layer.n;
    const auto sum_of = [&](std::size_t at) {
      return (bias ? layer.bias[at] : 0) + dot(&layer.x[row * layer.k], &layer.both[at * layer.k], layer.k);
    };
    const auto in_sum = [&](double sum) {
      return 4 * kUlp * std::sqrt(static_cast<double>(layer.k) + 4) * (1 + std::abs(sum));
    };
    const double gate = sum_of(column), other = sum_of(layer.n + column), active = activation_of(activation, gate);
    const double in_active = slope_of(activation, gate) * in_sum(gate) + 8 * kUlp * (1 + std::abs(active));
    const double expected = active * other;
    const double allowed = in_active * (std::abs(other) + in_sum(other)) + std::abs(active) * in_sum(other) +
                           (kUlp + unit(layer.type)) * std::abs(expected) * (1 + 0x1p-10) + smallest(layer.type);
    const double error = std::abs(found[i] - expected) / allowed;
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

}  // namespace

TEST_CASE("linear: the rows of a gated weight take turns by the step, and zeros fill the last ones") {
  for (const Type type : kTypes)
    for (const std::size_t n : {1, 5, 8, 9, 16, 17})
      for (const std::size_t k : {1, 3, 8, 16}) {
        CAPTURE(type);
        CAPTURE(n);
        CAPTURE(k);
        const Gated layer(type, 1, k, n);
        const std::vector<float> found = layer.weight.host();
        std::vector<float> expected(found.size(), 0.0f);
        const std::size_t step = type == Type::f32 ? 1 : 8;
        for (std::size_t row = 0; row < n; ++row)
          for (std::size_t part = 0; part < 2; ++part)
            std::copy_n(
                layer.both.begin() + static_cast<std::ptrdiff_t>((part * n + row) * k), k,
                expected.begin() + static_cast<std::ptrdiff_t>((row / step * 2 * step + part * step + row % step) * k));
        CHECK(found.size() % (2 * step * k) == 0);
        CHECK(same_bits(found, expected));
      }
}

TEST_CASE("linear: gated, odd sizes, each in some tile, with and without bias") {
  const LargeDevice device;
  constexpr std::size_t kRowCounts[] = {1, 2, 15, 17, 33, 64, 65, 130};
  constexpr filbert_activation kUsual[] = {FILBERT_GELU_ERF, FILBERT_SILU, FILBERT_IDENTITY};
  for (const Type type : kTypes) {
    std::size_t turn = 0;
    for (const std::size_t k : {1, 7, 8, 17, 64, 72, 136})
      for (const std::size_t n : {1, 7, 8, 9, 31, 33, 64, 65, 100, 128, 136}) {
        for (int i = 0; i < 2; ++i, ++turn) {
          const std::size_t rows = kRowCounts[turn * 3 % std::size(kRowCounts)];
          const int tile = static_cast<int>(turn) % tiles(type);
          const bool bias = turn % 4 != 1;
          const filbert_activation activation = kUsual[turn / 2 % 3];
          CAPTURE(type);
          CAPTURE(rows);
          CAPTURE(k);
          CAPTURE(n);
          CAPTURE(tile);
          CAPTURE(bias);
          CAPTURE(activation);
          const Gated layer(type, rows, k, n);
          CHECK(worst_error(layer, layer.run(tile, 0, rows, activation, bias), activation, bias) <= 1);
        }
      }
  }
}

TEST_CASE("linear: gated, every activation, in every tile") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (int which = 0; which < FILBERT_ACTIVATIONS; ++which)
      for (int tile = 0; tile < tiles(type); ++tile)
        for (const bool bias : {false, true}) {
          CAPTURE(type);
          CAPTURE(which);
          CAPTURE(tile);
          CAPTURE(bias);
          const auto activation = static_cast<filbert_activation>(which);
          const Gated layer(type, 17, 24, 21);
          CHECK(worst_error(layer, layer.run(tile, 0, 17, activation, bias), activation, bias) <= 1);
        }
}

TEST_CASE("linear: gated, a row has the same bits in every tile, alone and in a batch, at any address") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (const std::size_t n : {69, 136}) {
      constexpr std::size_t kRows = 140, kK = 72;
      const Gated layer(type, kRows, kK, n), shifted(type, kRows, kK, n, 1);
      const std::vector<float> all = layer.run(0, 0, kRows, FILBERT_GELU_ERF);
      CHECK(worst_error(layer, all, FILBERT_GELU_ERF, true) <= 1);
      for (int tile = 0; tile < tiles(type); ++tile) {
        CAPTURE(type);
        CAPTURE(n);
        CAPTURE(tile);
        for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, kRows}, {1, 1}, {15, 50}, {139, 1}}) {
          CAPTURE(first);
          CHECK(same_bits(layer.run(tile, first, count, FILBERT_GELU_ERF), slice(all, first * n, count * n)));
        }
        CHECK(same_bits(shifted.run(tile, 0, kRows, FILBERT_GELU_ERF), all));
      }
      CHECK(same_bits(layer.run(std::nullopt, 0, kRows, FILBERT_GELU_ERF), all));
      CHECK(layer.run(std::nullopt, 0, 0, FILBERT_GELU_ERF).empty());
    }
}

TEST_CASE("linear: gated, a number that is none stays in its row, or its column, of either matrix") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (int tile = 0; tile < tiles(type); ++tile) {
      CAPTURE(type);
      CAPTURE(tile);
      Gated layer(type, 20, 24, 40);
      const std::vector<float> clean = layer.run(tile, 0, 20, FILBERT_SILU);
      layer.both[7 * 24] = layer.both[(40 + 19) * 24] = NAN;
      layer.load();
      const std::vector<float> found = layer.run(tile, 0, 20, FILBERT_SILU);
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (i % 40 == 7 || i % 40 == 19)
          CHECK(std::isnan(found[i]));
        else
          CHECK(found[i] == clean[i]);
      }
    }
}
