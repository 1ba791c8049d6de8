// Rotary positions on the simulated device, against plain loops in double precision.
#include <doctest/doctest.h>

#include "cuda/row_ops.h"
#include "device_array.h"
#include "floats.h"
#include "stored.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr double kUlp = 0x1p-24;

// Heads in the columns [column, column + count head_size) of a matrix of that width.
struct Rotation {
  std::size_t count, head_size, rotary, column, width;
  std::vector<float> frequencies;

  Rotation(std::size_t count_, std::size_t head_size_, std::size_t rotary_, std::size_t before = 0,
           std::size_t after = 0)
      : count(count_),
        head_size(head_size_),
        rotary(rotary_),
        column(before),
        width(before + count_ * head_size_ + after) {
    for (std::size_t i = 0; i < rotary / 2; ++i)  // the first one is 1: angles are as large as positions
      frequencies.push_back(std::pow(1e4f, -2 * static_cast<float>(i) / static_cast<float>(rotary)));
  }

  template <typename T>
  std::vector<T> run(const std::vector<T>& x, const std::vector<std::int32_t>& positions) const {
    const DeviceArray<T> numbers(x);
    const DeviceArray<std::int32_t> at(positions);
    const DeviceArray<float> turns(frequencies);
    const filbert_weight weight = {turns.data(), rotary / 2, 1};
    const filbert_rope_args args = {
        {numbers.data(), width, column, positions.size()}, count, head_size, at.data(), &weight, rotary};
    REQUIRE(rope(Stored<T>::kType, args, positions.size(), nullptr) == cudaSuccess);
    return numbers.host();
  }

  // Cosines and sines are off by 2 kUlp at most; then come a product and a sum.
  template <typename T>
  void check(const std::vector<float>& x, const std::vector<std::int32_t>& positions,
             const std::vector<float>& got) const {
    REQUIRE(got.size() == x.size());
    std::vector<float> rest = x;
    for (std::size_t t = 0; t < positions.size(); ++t)
      for (std::size_t head = 0; head < count; ++head)
        for (std::size_t i = 0; i < rotary / 2; ++i) {
          CAPTURE(t);
          CAPTURE(head);
          CAPTURE(i);
          const float angle = static_cast<float>(positions[t]) * frequencies[i];
          const double cosine = std::cos(static_cast<double>(angle)), sine = std::sin(static_cast<double>(angle));
          const std::size_t first = t * width + column + head * head_size + i, second = first + rotary / 2;
          const double a = x[first], b = x[second], error = 4 * kUlp * (std::abs(a) + std::abs(b));
          CHECK(is_near<T>(got[first], a * cosine - b * sine, error));
          CHECK(is_near<T>(got[second], b * cosine + a * sine, error));
          rest[first] = got[first];
          rest[second] = got[second];
        }
    CHECK(same_bits(rest, got));  // what does not turn, and what is beside the heads
  }
};

// One head of 64 whose halves become cosine and sine.
void check_positions(const std::vector<std::int32_t>& positions) {
  const Rotation rotation(1, 64, 64);
  std::vector<float> x(positions.size() * 64, 0.0f);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % 64 < 32) x[i] = 1;
  rotation.check<float>(x, positions, rotation.run(x, positions));
}

}  // namespace

TEST_CASE_TEMPLATE("rope: heads of any size, in a part of a matrix, each token as if alone", T, float, F16, Bf16) {
  const std::vector<std::int32_t> positions = {0, 1, 2, 777, 4096, 8191, 100000, 5};
  std::size_t turn = 0;
  for (const std::size_t head_size : {2, 6, 7, 32, 40, 64, 96, 128, 256})
    for (const std::size_t rotary : {head_size / 2 * 2, head_size / 4 * 2, std::size_t{2}})
      for (const std::size_t count : {1, 3}) {
        constexpr std::size_t kBeside[][2] = {{0, 0}, {64, 128}, {1, 0}, {0, 3}, {8, 8}};
        const auto& [before, after] = kBeside[turn++ % 5];
        CAPTURE(head_size);
        CAPTURE(rotary);
        CAPTURE(count);
        CAPTURE(before);
        CAPTURE(after);
        const Rotation rotation(count, head_size, rotary, before, after);
        const std::size_t width = rotation.width;
        const std::vector<T> x = stored<T>(random_floats(positions.size() * width, 1));
        const std::vector<T> out = rotation.run(x, positions);
        rotation.check<T>(floats(x), positions, floats(out));
        for (std::size_t t = 0; t < positions.size(); ++t)
          CHECK(same(rotation.run(rows_of(x, width, t, t + 1), {positions[t]}), rows_of(out, width, t, t + 1)));
      }
}

TEST_CASE("rope: every position up to 4095, and some of each size up to 2^24") {
  std::vector<std::int32_t> positions(4096);
  for (std::size_t t = 0; t < positions.size(); ++t) positions[t] = static_cast<std::int32_t>(t);
  check_positions(positions);
  positions.clear();
  for (std::int32_t position = 4096; position < 1 << 24; position += position / 97) positions.push_back(position);
  positions.push_back(1 << 24);
  check_positions(positions);
}

TEST_CASE("rope: NaN stays in its place") {
  const Rotation rotation(3, 8, 8);
  std::vector<float> x(rotation.width, 1.0f);
  x[9] = NAN;
  const std::vector<float> turned = rotation.run(x, {3});
  for (std::size_t i = 0; i < turned.size(); ++i) CHECK(std::isnan(turned[i]) == (i == 9 || i == 13));
}

TEST_CASE("rope: no token is no error") {
  filbert_rope_args args = {};
  args.count = 12;
  args.head_size = args.rotary = 64;
  CHECK(rope(Type::bf16, args, 0, nullptr) == cudaSuccess);
}
