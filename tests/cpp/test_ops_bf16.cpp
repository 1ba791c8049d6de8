// The rounding of activations and weights to bfloat16: to nearest, ties to even, as IEEE 754 does.
#include <doctest/doctest.h>

#include <bit>
#include <cstdint>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// Every upper half with lower halves on and around the middle between two bfloat16.
std::vector<float> around_every_bf16() {
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 65536; ++high)
    for (const std::uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      values.push_back(std::bit_cast<float>(high << 16 | low));
  return values;
}

// The nearer of the two neighbours, in double, where both are exact; the even one in the middle.
float rounded(float value) {
  if (!std::isfinite(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t inner = bits & 0xffff0000u;
  const std::uint32_t outer = inner + 0x10000u;
  const double below = std::bit_cast<float>(inner);
  // Beyond the largest number the next would be a power of two: there infinity begins at the middle.
  const double above =
      (outer & 0x7fffffffu) == 0x7f800000u ? std::copysign(0x1p128, below) : std::bit_cast<float>(outer);
  const double distance = std::abs(value - below) - std::abs(above - value);
  const bool up = distance > 0 || (distance == 0 && (outer >> 16 & 1u) == 0);
  return std::bit_cast<float>(up ? outer : inner);
}

// Processors that multiply bfloat16 may take subnormal numbers as zeros.
bool is_right(float found, float value) {
  const float expected = rounded(value);
  if (std::isnan(expected)) return std::isnan(found);
  return found == expected || (found == 0 && std::abs(value) < std::numeric_limits<float>::min());
}

std::size_t wrong(const std::vector<float>& values, const std::vector<float>& found) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (is_right(found[i], values[i])) continue;
    if (count++ < 5) MESSAGE("bits ", std::bit_cast<std::uint32_t>(values[i]), ": ", found[i]);
  }
  return count;
}

}  // namespace

TEST_CASE("ops: bfloat16, activations are rounded to nearest even") {
  const std::vector<float> values = around_every_bf16();
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const auto ops = open_isa(isa, FILBERT_BF16);
    CHECK(wrong(values, multiply(*ops, values, {1.0f}, 1, 1)) == 0);
  }
}

TEST_CASE("ops: bfloat16, weights are rounded to nearest even") {
  const std::vector<float> values = around_every_bf16();
  const auto ops = open_isa("scalar", FILBERT_BF16);  // one packing for all instruction sets
  CHECK(wrong(values, multiply(*ops, {1.0f}, values, 1, values.size())) == 0);
}

TEST_CASE("ops: bfloat16, what is rounded has the values of IEEE 754") {
  struct Case {
    float value, expected;
  };
  const float largest = std::numeric_limits<float>::max();
  const Case cases[] = {
      {1.0f + 0x1p-8f, 1.0f},                   // a tie: down to even
      {1.0f + 0x1p-7f + 0x1p-8f, 1.015625f},    // a tie: up to even
      {1.0f + 0x1p-8f + 0x1p-23f, 1.0078125f},  // just above it
      {-1.0f - 0x1p-8f, -1.0f},
      {largest, INFINITY},
      {-largest, -INFINITY},
      {0x1.fep127f, 0x1.fep127f},      // the largest bfloat16
      {0x1.fefffep127f, 0x1.fep127f},  // just below the middle
      {0x1.ffp127f, INFINITY},         // the middle between it and 2^128: to even
      {INFINITY, INFINITY},
      {-INFINITY, -INFINITY},
  };
  for (const std::string& isa : isas()) {
    const auto ops = open_isa(isa, FILBERT_BF16);
    for (const Case& c : cases) {
      CAPTURE(isa);
      CAPTURE(c.value);
      CHECK(multiply(*ops, {c.value}, {1.0f}, 1, 1)[0] == c.expected);
      CHECK(multiply(*ops, {1.0f}, {c.value}, 1, 1)[0] == c.expected);
    }
    CHECK(std::isnan(multiply(*ops, {std::numeric_limits<float>::signaling_NaN()}, {1.0f}, 1, 1)[0]));
    CHECK(std::isnan(multiply(*ops, {1.0f}, {NAN}, 1, 1)[0]));
  }
}

TEST_CASE("ops: bfloat16, sums are in float32") {
  // 256 and 1 have no sum in bfloat16, and 4096 times 2^-12 would be lost.
  std::vector<float> x(4096, 0x1p-12f);
  std::vector<float> ones(4096, 1.0f);
  x[0] = 256.0f;
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const auto ops = open_isa(isa, FILBERT_BF16);
    CHECK(multiply(*ops, x, ones, 4096, 1)[0] == 256.0f + 4095 * 0x1p-12f);
  }
}
