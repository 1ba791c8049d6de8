// Matrix products against plain loops in double precision, and every tile against every other one bit for bit.
#include <doctest/doctest.h>

#include "linear_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr std::size_t kMostRows = 200;

// Numbers as the type stores them; sums over k have the size of a number. `shift` misaligns all matrices.
struct Layer {
  Type type;
  std::size_t rows, k, n, shift;
  std::vector<float> x, weight, bias, residual;
  TypedArray device_x, device_weight, device_residual;
  DeviceArray<float> device_bias;

  Layer(Type type_, std::size_t rows_, std::size_t k_, std::size_t n_, std::size_t shift_ = 0)
      : type(type_),
        rows(rows_),
        k(k_),
        n(n_),
        shift(shift_),
        x(numbers_of(type, rows * k, 1, 1.0f)),
        weight(numbers_of(type, n * k, 2, 1.0f / std::sqrt(static_cast<float>(k)))),
        bias(random_floats(n, 3, 2.0f)),
        residual(numbers_of(type, rows * n, 4, 1.0f)),
        device_x(type, x, shift),
        device_weight(type, weight, shift),
        device_residual(type, residual, shift),
        device_bias(bias) {}

  // `count` rows from `first` on; no tile: the public function, which chooses.
  std::vector<float> run(std::optional<int> tile, std::size_t first, std::size_t count, bool with_bias = true,
                         bool with_residual = true, filbert_activation activation = FILBERT_IDENTITY) const {
    const std::size_t size = size_of(type);
    const TypedArray out(type, count * n, shift);
    const Linear task = {static_cast<const char*>(device_x.data()) + first * k * size,
                         device_weight.data(),
                         with_bias ? device_bias.data() : nullptr,
                         with_residual ? static_cast<const char*>(device_residual.data()) + first * n * size : nullptr,
                         activation,
                         count,
                         n,
                         k,
                         out.data()};
    REQUIRE(run_linear(type, tile, task) == cudaSuccess);
    return out.host();
  }
};

// The largest |found - expected| as a share of what it may be. The i-th partial sum over k is about sqrt(i / k), and
// its rounding kUlp of that: about kUlp sqrt(k) in all. The result is rounded once to the type.
double worst_error(const Layer& layer, const std::vector<float>& found, bool bias, bool residual,
                   filbert_activation activation) {
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::size_t row = i / layer.n, column = i % layer.n;
    const double sum =
        (bias ? layer.bias[column] : 0) + dot(&layer.x[row * layer.k], &layer.weight[column * layer.k], layer.k);
    const double active = activation_of(activation, sum);
    const double expected = active + (residual ? layer.residual[i] : 0);
    const double in_sum = 4 * kUlp * std::sqrt(static_cast<double>(layer.k) + 4) * (1 + std::abs(sum));
    const double allowed = slope_of(activation, sum) * in_sum + 8 * kUlp * (1 + std::abs(active) + std::abs(expected)) +
                           unit(layer.type) * std::abs(expected) + smallest(layer.type);
    const double error = std::abs(found[i] - expected) / allowed;
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

}  // namespace

TEST_CASE("linear: odd sizes, each in some tile, with and without bias and residual") {
  const LargeDevice device;
  constexpr std::size_t kRowCounts[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 200};
  for (const Type type : kTypes) {
    std::size_t turn = 0;
    for (const std::size_t k : {1, 7, 8, 15, 16, 17, 31, 32, 33, 64, 72, 129, 384})
      for (const std::size_t n : {1, 7, 8, 9, 63, 64, 65, 127, 130, 192}) {
        for (int i = 0; i < 3; ++i, ++turn) {
          const std::size_t rows = kRowCounts[turn * 5 % std::size(kRowCounts)];
          const int tile = static_cast<int>(turn) % tiles(type);
          const bool bias = turn % 4 != 1, residual = turn % 3 != 1;
          CAPTURE(type);
          CAPTURE(rows);
          CAPTURE(k);
          CAPTURE(n);
          CAPTURE(tile);
          const Layer layer(type, rows, k, n);
          CHECK(worst_error(layer, layer.run(tile, 0, rows, bias, residual), bias, residual, FILBERT_IDENTITY) <= 1);
        }
      }
  }
}

TEST_CASE("linear: every activation, in every tile") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (int activation = 0; activation < FILBERT_ACTIVATIONS; ++activation)
      for (int tile = 0; tile < tiles(type); ++tile) {
        CAPTURE(type);
        CAPTURE(activation);
        CAPTURE(tile);
        const auto which = static_cast<filbert_activation>(activation);
        const Layer layer(type, 17, 24, 40);
        CHECK(worst_error(layer, layer.run(tile, 0, 17, true, true, which), true, true, which) <= 1);
      }
}

TEST_CASE("linear: a row has the same bits in every tile, alone and in a batch") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (const std::size_t k : {17, 72, 384}) {
      constexpr std::size_t kColumns = 136;
      const Layer layer(type, kMostRows, k, kColumns);
      const std::vector<float> all = layer.run(0, 0, kMostRows, true, true, FILBERT_GELU_ERF);
      CHECK(worst_error(layer, all, true, true, FILBERT_GELU_ERF) <= 1);
      for (int tile = 0; tile < tiles(type); ++tile)
        for (const auto& [first, count] :
             {std::pair<std::size_t, std::size_t>{0, kMostRows}, {1, 1}, {15, 50}, {199, 1}}) {
          CAPTURE(type);
          CAPTURE(k);
          CAPTURE(tile);
          CAPTURE(first);
          CAPTURE(count);
          CHECK(same_bits(layer.run(tile, first, count, true, true, FILBERT_GELU_ERF),
                          slice(all, first * kColumns, count * kColumns)));
        }
    }
}

TEST_CASE("linear: matrices at odd addresses give the same bits") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (const std::size_t shift : {1, 4}) {
      const Layer aligned(type, 70, 40, 72), shifted(type, 70, 40, 72, shift);
      for (int tile = 0; tile < tiles(type); ++tile) {
        CAPTURE(type);
        CAPTURE(shift);
        CAPTURE(tile);
        CHECK(same_bits(shifted.run(tile, 0, 70), aligned.run(tile, 0, 70)));
      }
    }
}

TEST_CASE("linear: a number that is none stays in its row, or its column") {
  const LargeDevice device;
  for (const Type type : kTypes)
    for (int tile = 0; tile < tiles(type); ++tile) {
      CAPTURE(type);
      CAPTURE(tile);
      Layer layer(type, 20, 24, 40);
      const std::vector<float> clean = layer.run(tile, 0, 20);
      std::vector<float> x = layer.x, weight = layer.weight;
      x[5 * 24 + 3] = INFINITY;
      weight[7 * 24] = NAN;
      const TypedArray bad_x(type, x), bad_weight(type, weight), out(type, 20 * 40);
      const Linear task = {bad_x.data(),
                           bad_weight.data(),
                           layer.device_bias.data(),
                           layer.device_residual.data(),
                           FILBERT_IDENTITY,
                           20,
                           40,
                           24,
                           out.data()};
      REQUIRE(run_linear(type, tile, task) == cudaSuccess);
      const std::vector<float> found = out.host();
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (i % 40 == 7)
          CHECK(std::isnan(found[i]));
        else if (i / 40 == 5)
          CHECK_FALSE(std::isfinite(found[i]));
        else
          CHECK(found[i] == clean[i]);
      }
    }
}

TEST_CASE("linear: the tile is chosen by size and by what the device has") {
  constexpr Chip kGa102 = {84, 101376}, kHopper = {132, 232448};
  CHECK(choose_gemm_tile(1, 384, kHopper) == GemmTile::t16x16);
  CHECK(choose_gemm_tile(128, 768, kHopper) == GemmTile::t32x64);
  CHECK(choose_gemm_tile(128, 3072, kHopper) == GemmTile::t64x64);
  CHECK(choose_gemm_tile(512, 3072, kHopper) == GemmTile::t128x128);
  CHECK(choose_gemm_tile(65536, 3072, kHopper) == GemmTile::t128x256);
  CHECK(choose_gemm_tile(65536, 3072, kGa102) == GemmTile::t128x128);
  CHECK(choose_gemm_f32_tile(1, 384, kHopper) == GemmF32Tile::t2x2);
  CHECK(choose_gemm_f32_tile(65536, 3072, kHopper) == GemmF32Tile::t8x8);
  for (const Type type : kTypes) {  // of the device as it is, on which the largest tile cannot run
    CAPTURE(type);
    const Layer layer(type, kMostRows, 64, 136);
    for (const std::size_t rows : {1, 200})
      CHECK(same_bits(layer.run(std::nullopt, 0, rows), slice(layer.run(0, 0, kMostRows), 0, rows * 136)));
    CHECK(layer.run(std::nullopt, 0, 0).empty());
  }
}

TEST_CASE("linear: what the device reports is returned") {
  const cuda_on_cpu::Restore restore;
  const Layer layer(Type::bf16, 4, 16, 16);
  const TypedArray out(Type::bf16, 64);
  const Linear task = {
      layer.device_x.data(), layer.device_weight.data(), nullptr, nullptr, FILBERT_IDENTITY, 4, 16, 16, out.data()};
  cuda_on_cpu::machine().calls_until_failure = 0;
  CHECK(linear(Type::bf16, task, chip(), nullptr) == cudaErrorUnknown);
  CHECK(linear(Type::bf16, task, chip(), nullptr) == cudaSuccess);
}

TEST_CASE("linear: erf GELU on the whole line") {
  for (double x = -9; x <= 9; x += 1e-3) {
    const auto rounded_x = static_cast<float>(x);
    const double expected = activation_of(FILBERT_GELU_ERF, rounded_x);
    CAPTURE(x);
    CHECK(std::abs(gelu_erf(rounded_x) - expected) < 1e-7 + kUlp * std::abs(expected));
    if (x > -5) CHECK(std::abs(gelu_erf(rounded_x) - expected) <= 1e-5 * std::abs(expected));
  }
  CHECK(gelu_erf(INFINITY) == INFINITY);
  CHECK(std::abs(gelu_erf(-100.0f)) < 1e-11f);
  for (int activation = 0; activation < FILBERT_ACTIVATIONS; ++activation)
    CHECK(std::isnan(activate(static_cast<filbert_activation>(activation), NAN)));
}
