// Rotary positions and gated units on the simulated device, against plain loops in double precision.
#include <doctest/doctest.h>

#include "cuda/activation.h"
#include "device_array.h"
#include "floats.h"
#include "stored.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr double kUlp = 0x1p-24;

struct Rotation {
  std::size_t heads, head_size, rotary;
  std::vector<float> inverse_frequencies;

  Rotation(std::size_t heads_, std::size_t head_size_, std::size_t rotary_)
      : heads(heads_), head_size(head_size_), rotary(rotary_) {
    for (std::size_t i = 0; i < rotary / 2; ++i)  // the first one is 1: angles are as large as positions
      inverse_frequencies.push_back(std::pow(1e4f, -2 * static_cast<float>(i) / static_cast<float>(rotary)));
  }
  std::size_t width() const { return 3 * heads * head_size; }

  template <typename T>
  std::vector<T> run(const std::vector<T>& qkv, const std::vector<std::int32_t>& positions) const {
    const DeviceArray<T> numbers(qkv);
    const DeviceArray<std::int32_t> at(positions);
    const DeviceArray<float> frequencies(inverse_frequencies);
    const Rope args = {numbers.data(), at.data(), frequencies.data(), positions.size(), heads, head_size, rotary};
    REQUIRE(rope(Stored<T>::kType, args, nullptr) == cudaSuccess);
    return numbers.host();
  }

  // Cosines and sines are off by 2 kUlp at most; then come a product and a sum.
  template <typename T>
  void check(const std::vector<float>& qkv, const std::vector<std::int32_t>& positions,
             const std::vector<float>& got) const {
    REQUIRE(got.size() == qkv.size());
    std::vector<float> rest = qkv;
    for (std::size_t row = 0; row < 3 * heads * positions.size(); ++row) {
      if (row / heads % 3 == 2) continue;
      for (std::size_t i = 0; i < rotary / 2; ++i) {
        CAPTURE(row);
        CAPTURE(i);
        const float angle = static_cast<float>(positions[row / heads / 3]) * inverse_frequencies[i];
        const double cosine = std::cos(static_cast<double>(angle)), sine = std::sin(static_cast<double>(angle));
        const std::size_t first = row * head_size + i, second = first + rotary / 2;
        const double x = qkv[first], y = qkv[second], error = 4 * kUlp * (std::abs(x) + std::abs(y));
        CHECK(is_near<T>(got[first], x * cosine - y * sine, error));
        CHECK(is_near<T>(got[second], y * cosine + x * sine, error));
        rest[first] = got[first];
        rest[second] = got[second];
      }
    }
    CHECK(same_bits(rest, got));  // what does not turn, and the values
  }
};

template <typename T>
std::vector<T> run_gate(const std::vector<T>& x, std::size_t width, filbert_activation activation) {
  const DeviceArray<T> in(x);
  const DeviceArray<T> out(x.size() / 2);
  const Gate args = {in.data(), activation, x.size() / (2 * width), width, out.data()};
  REQUIRE(gate(Stored<T>::kType, args, nullptr) == cudaSuccess);
  return out.host();
}

}  // namespace

TEST_CASE_TEMPLATE("rope: heads of any size, each token as if alone", T, float, F16, Bf16) {
  const std::vector<std::int32_t> positions = {0, 1, 2, 777, 4096, 8191, 100000, 5};
  for (const std::size_t head_size : {2, 6, 7, 32, 40, 64, 96, 128, 256})
    for (const std::size_t rotary : {head_size / 2 * 2, head_size / 4 * 2, std::size_t{2}})
      for (const std::size_t heads : {1, 3}) {
        CAPTURE(head_size);
        CAPTURE(rotary);
        CAPTURE(heads);
        const Rotation rotation(heads, head_size, rotary);
        const std::size_t width = rotation.width();
        const std::vector<T> qkv = stored<T>(random_floats(positions.size() * width, 1));
        const std::vector<T> out = rotation.run(qkv, positions);
        rotation.check<T>(floats(qkv), positions, floats(out));
        for (std::size_t t = 0; t < positions.size(); ++t)
          CHECK(same(rotation.run(rows_of(qkv, width, t, t + 1), {positions[t]}), rows_of(out, width, t, t + 1)));
      }
}

TEST_CASE("rope: every position up to 8191") {
  const Rotation rotation(1, 64, 64);
  std::vector<std::int32_t> positions(8192);
  for (std::size_t t = 0; t < positions.size(); ++t) positions[t] = static_cast<std::int32_t>(t);
  std::vector<float> qkv(positions.size() * rotation.width(), 0.0f);
  for (std::size_t i = 0; i < qkv.size(); ++i)
    if (i % 64 < 32) qkv[i] = 1;  // the halves become cosine and sine
  rotation.check<float>(qkv, positions, rotation.run(qkv, positions));
}

// The functions themselves are checked with the linear layers that share them.
TEST_CASE_TEMPLATE("gate: every activation at any width, each row as if alone", T, float, F16, Bf16) {
  constexpr std::size_t kTokens = 3;
  for (const std::size_t width : {1, 7, 8, 100, 384, 1152, 2056})
    for (int which = 0; which < FILBERT_ACTIVATIONS; ++which) {
      CAPTURE(width);
      CAPTURE(which);
      const auto activation = static_cast<filbert_activation>(which);
      const std::vector<T> x = stored<T>(random_floats(kTokens * 2 * width, 1, 2.0f));
      const std::vector<T> out = run_gate(x, width, activation);
      const std::vector<float> in = floats(x), got = floats(out);
      for (std::size_t i = 0; i < got.size(); ++i) {
        CAPTURE(i);
        const std::size_t at = i / width * 2 * width + i % width;
        const double active = activate(activation, in[at]), factor = in[at + width];
        // One product, and a few roundings that a compiler may contract in one place and not in another.
        CHECK(is_near<T>(got[i], active * factor, 4 * kUlp * (std::abs(active) + std::abs(in[at])) * std::abs(factor)));
      }
      for (std::size_t t = 0; t < kTokens; ++t)
        CHECK(same(run_gate(rows_of(x, 2 * width, t, t + 1), width, activation), rows_of(out, width, t, t + 1)));
    }
}

TEST_CASE("rope and gate: NaN stays in its place") {
  const Rotation rotation(1, 8, 8);
  std::vector<float> qkv(rotation.width(), 1.0f);
  qkv[1] = NAN;
  const std::vector<float> turned = rotation.run(qkv, {3});
  for (std::size_t i = 0; i < turned.size(); ++i) CHECK(std::isnan(turned[i]) == (i == 1 || i == 5));
  for (int which = 0; which < FILBERT_ACTIVATIONS; ++which) {
    const std::vector<float> gated =
        run_gate<float>({NAN, 1, 1, 1, 1, 1, NAN, 1}, 4, static_cast<filbert_activation>(which));
    for (std::size_t i = 0; i < gated.size(); ++i) CHECK(std::isnan(gated[i]) == (i % 2 == 0));
  }
}

TEST_CASE("rope and gate: no token is no error") {
  Rope no_token = {};
  no_token.heads = 12;
  no_token.head_size = no_token.rotary = 64;
  CHECK(rope(Type::bf16, no_token, nullptr) == cudaSuccess);
  Gate no_row = {};
  no_row.width = 1152;
  CHECK(gate(Type::bf16, no_row, nullptr) == cudaSuccess);
}
