// Matrix products by the instructions of sm_90: each tile against those of mma.sync, bit for bit.
#include <doctest/doctest.h>

#include "cuda/gemm_sm90.h"
#include "linear_case.h"
#include "sm90_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr Type kHalfTypes[] = {Type::bf16, Type::f16};

// A product with numbers as the type stores them; gated, `n` rows of a gate and as many of what it multiplies.
struct Product {
  Type type;
  std::size_t rows, k, n;
  bool gated;
  TypedArray x, weight, residual;
  DeviceArray<float> bias;

  Product(Type type_, std::size_t rows_, std::size_t k_, std::size_t n_, bool gated_ = false)
      : type(type_),
        rows(rows_),
        k(k_),
        n(n_),
        gated(gated_),
        x(type, numbers_of(type, rows * k, 1, 1.0f)),
        weight(type, numbers_of(type, (gated ? gated_rows(type, n) : n) * k, 2, 1.0f / std::sqrt(float(k)))),
        residual(type, numbers_of(type, rows * n, 4, 1.0f)),
        bias(random_floats(gated ? 2 * n : n, 3, 2.0f)) {}

  Linear task(const TypedArray& out, filbert_activation activation, bool with_bias, bool with_residual) const {
    return {x.data(),
            weight.data(),
            with_bias ? bias.data() : nullptr,
            with_residual ? residual.data() : nullptr,
            activation,
            rows,
            n,
            k,
            out.data(),
            gated};
  }

  // No tile: by mma.sync.
  std::vector<float> run(std::optional<Sm90Tile> tile, filbert_activation activation = FILBERT_IDENTITY,
                         bool with_bias = true, bool with_residual = true) const {
    ++cuda_on_cpu::machine().seed;
    const TypedArray out(type, rows * n);
    const Linear linear = task(out, activation, with_bias, with_residual && !gated);
    REQUIRE(suits_sm90(linear, chip()));
    const cudaError_t error = tile ? linear_sm90(type, *tile, linear, chip(), nullptr)
                                   : linear_16bit(type, GemmTile::t16x16, linear, nullptr);
    REQUIRE(error == cudaSuccess);
    return out.host();
  }
};

}  // namespace

TEST_CASE("linear on sm_90: odd sizes have the bits of mma.sync") {
  const HopperDevice device;
  std::size_t turn = 0;
  for (const Type type : kHalfTypes)
    for (const std::size_t k : {8, 64, 72, 192, 328})
      for (const std::size_t n : {1, 7, 8, 40, 130, 264})
        for (const Sm90Tile tile : kSm90Tiles) {
          constexpr std::size_t kRows[] = {1, 7, 64, 65, 129, 130, 300};
          const std::size_t rows = kRows[++turn % std::size(kRows)];
          CAPTURE(type);
          CAPTURE(rows);
          CAPTURE(k);
          CAPTURE(n);
          CAPTURE(static_cast<int>(tile));
          const Product product(type, rows, k, n);
          const bool bias = turn % 4 != 1, residual = turn % 3 != 1;
          CHECK(same_bits(product.run(tile, FILBERT_IDENTITY, bias, residual),
                          product.run(std::nullopt, FILBERT_IDENTITY, bias, residual)));
        }
}

TEST_CASE("linear on sm_90: activations and gates") {
  const HopperDevice device;
  for (const Type type : kHalfTypes)
    for (const filbert_activation activation : {FILBERT_GELU_ERF, FILBERT_GELU_TANH, FILBERT_SILU})
      for (const bool gated : {false, true})
        for (const std::size_t n : {40, 44})
          for (const Sm90Tile tile : kSm90Tiles) {
            CAPTURE(type);
            CAPTURE(static_cast<int>(activation));
            CAPTURE(gated);
            CAPTURE(n);
            CAPTURE(static_cast<int>(tile));
            const Product product(type, 70, 136, n, gated);
            CHECK(same_bits(product.run(tile, activation), product.run(std::nullopt, activation)));
          }
}

TEST_CASE("linear on sm_90: more tiles than multiprocessors") {
  const HopperDevice device;
  cuda_on_cpu::machine().processors = 2;
  for (const Sm90Tile tile : kSm90Tiles) {
    CAPTURE(static_cast<int>(tile));
    const Product product(Type::bf16, 700, 136, 520);
    CHECK(same_bits(product.run(tile, FILBERT_GELU_ERF), product.run(std::nullopt, FILBERT_GELU_ERF)));
  }
}

TEST_CASE("linear on sm_90: what it does not have is left to mma.sync") {
  const HopperDevice device;
  const Product product(Type::bf16, 20, 64, 40), odd(Type::bf16, 20, 60, 40);
  const TypedArray out(Type::bf16, 20 * 40);
  CHECK(suits_sm90(product.task(out, FILBERT_IDENTITY, true, true), chip()));
  CHECK_FALSE(suits_sm90(product.task(out, FILBERT_MISH, true, true), chip()));
  CHECK_FALSE(suits_sm90(odd.task(out, FILBERT_IDENTITY, true, true), chip()));
  Linear shifted = product.task(out, FILBERT_IDENTITY, true, true);
  shifted.x = static_cast<const char*>(shifted.x) + 2;
  CHECK_FALSE(suits_sm90(shifted, chip()));
  Chip other = chip();
  other.is_sm90 = false;
  CHECK_FALSE(suits_sm90(product.task(out, FILBERT_IDENTITY, true, true), other));
}

TEST_CASE("linear on sm_90: the tile is chosen by size") {
  constexpr Chip kH200 = {132, 232448, true};
  CHECK(choose_sm90_tile(8, 768, 3072, kH200) == Sm90Tile::t64x16);
  CHECK(choose_sm90_tile(128, 768, 768, kH200) == Sm90Tile::t64x32);
  CHECK(choose_sm90_tile(128, 3072, 768, kH200) == Sm90Tile::t64x64);
  CHECK(choose_sm90_tile(512, 2304, 768, kH200) == Sm90Tile::t128x128);
  CHECK(choose_sm90_tile(65536, 2304, 768, kH200) == Sm90Tile::t128x192);
  const HopperDevice device;
  for (const std::size_t rows : {1, 100}) {
    const Product product(Type::bf16, rows, 64, 136);
    const TypedArray out(Type::bf16, rows * 136);
    REQUIRE(linear(Type::bf16, product.task(out, FILBERT_IDENTITY, true, true), chip(), nullptr) == cudaSuccess);
    CHECK(same_bits(out.host(), product.run(std::nullopt)));
  }
}
