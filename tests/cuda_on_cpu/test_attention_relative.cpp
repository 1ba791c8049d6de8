// Attention with a window and with a bias by distance, as test_attention.cpp.
#include <doctest/doctest.h>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

struct Relative {
  std::int32_t window, bias_reach;
  bool biased;
};

// Windows below, of, and beyond a tile; biases of one number, of a tile, and none clipped.
constexpr Relative kRelatives[] = {{5, 0, false},  {64, 0, false}, {1, 0, false},  {0, 0, true},   {0, 31, true},
                                   {0, 900, true}, {7, 3, true},   {40, 64, true}, {900, 12, true}};
const std::vector<std::int32_t> kRelativeLengths = {1, 200, 63, 2, 130, 65, 17};

// Every third sequence has many tokens that only ask: some see no key in their window.
Case relative_case(Type type, std::size_t head_size, const Relative& relative) {
  Case c(type, head_size, true, kRelativeLengths);
  for (std::size_t s = 1; s < c.sequences(); s += 3) c.key_begin[s] = c.cu[s] + (c.cu[s + 1] - c.cu[s]) / 2;
  c.relate(relative.window, relative.bias_reach, relative.biased);
  return c;
}

// Rows that are zero in double precision are of queries without a key.
std::size_t zero_rows(const Case& c, const Expected& expected, const std::vector<float>& found) {
  std::size_t count = 0;
  for (std::size_t row = 0; row < c.tokens(); ++row) {
    bool zero = true;
    for (std::size_t j = 0; j < c.hidden; ++j) zero &= expected.weighted[row * c.hidden + j] == 0;
    if (!zero) continue;
    ++count;
    for (std::size_t j = 0; j < c.hidden; ++j) CHECK(found[row * c.hidden + j] == 0.0f);
  }
  return count;
}

}  // namespace

TEST_CASE("attention: windows and biases by distance, over gaps") {
  const cuda_on_cpu::Restore restore;
  std::size_t turn = 0;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {32, 40, 64, 128})
      for (std::size_t i = 0; i < 3; ++i) {  // of a window, of a bias, of both
        const Relative& relative = kRelatives[i * 3 + turn++ / 3 % 3];
        const Case c = relative_case(type, head_size, relative);
        const Expected expected = reference(c);
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        CAPTURE(relative.bias_reach);
        const Result found = run(c, {.probabilities = true});
        CHECK(worst_error(c, expected, found.out) <= 1);
        CHECK((zero_rows(c, expected, found.out) > 0) == (c.window > 0 && c.window < 100));
        double worst = 0;
        for (std::size_t p = 0; p < c.floats; ++p) {
          const double error = std::abs(found.probabilities[p] - expected.probabilities[p]);
          worst = std::isnan(error) || (expected.probabilities[p] == 0 && found.probabilities[p] != 0.0f)
                      ? INFINITY
                      : std::max(worst, error);
        }
        CHECK(worst < 40 * kUlp);
      }
}

TEST_CASE("attention: windows and biases give the same bits alone, in a batch, for first tokens, from either tile") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {40, 128})
      for (const Relative& relative : {kRelatives[0], kRelatives[7]}) {
        const Case c = relative_case(type, head_size, relative);
        const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
        const std::vector<float> first = run(c, {.first_only = true}).out;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        if (type != Type::f32 && head_size <= 64) CHECK(same_bits(run(c, {.tile = QueryTile::t128}).out, all));
        const std::vector<float> turned = run(c.pick({4, 1, 6, 2}), {}).out;
        CHECK(same_bits(slice(turned, 130 * c.hidden, 200 * c.hidden), slice(all, c.hidden, 200 * c.hidden)));
        for (std::size_t s = 0; s < c.sequences(); ++s) {
          CAPTURE(s);
          const std::size_t row = static_cast<std::size_t>(c.cu[s]) * c.hidden;
          CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(all, row, c.hidden)));
        }
        CHECK(same_bits(run(c.pick({1}), {}).out, slice(all, c.hidden, 200 * c.hidden)));
      }
}

TEST_CASE("attention: keys outside the window count for nothing, whatever they hold") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CAPTURE(type);
    Case c(type, 32, false, {200});
    c.relate(10, 4, true);
    const std::vector<float> clean = run(c, {}).out;
    for (std::size_t j = 0; j < c.hidden; ++j) c.qkv[(100 * 3 + 1) * c.hidden + j] = NAN;  // the key of token 100
    const std::vector<float> found = run(c, {}).out;
    for (std::size_t token = 0; token < 200; ++token) {
      CAPTURE(token);
      const std::size_t row = token * c.hidden;
      if (c.sees(token, 100))
        CHECK(std::isnan(found[row]));
      else
        CHECK(same_bits(slice(found, row, c.hidden), slice(clean, row, c.hidden)));
    }
  }
}

TEST_CASE("attention: which tiles a window passes over is the same for queries alone and in blocks of either size") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CAPTURE(type);
    Case c(type, 32, false, {300});
    c.relate(20, 0, false);
    for (std::size_t j = 0; j < c.hidden; ++j) c.qkv[(80 * 3 + 2) * c.hidden + j] = INFINITY;  // shows where it is read
    const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
    CHECK(std::isnan(all[50 * c.hidden]));
    CHECK(std::isfinite(all[0]));
    CHECK(std::isfinite(all[200 * c.hidden]));
    for (const std::optional<QueryTile> tile : tiles(type)) {
      CHECK(same_bits(run(c, {.tile = tile}).out, all));
      CHECK(same_bits(run(c, {.tile = tile, .first_only = true}).out, slice(all, 0, c.hidden)));
    }
  }
}
