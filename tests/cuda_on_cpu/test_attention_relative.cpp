// Attention with a window and with a bias by distance, causal or not, as test_attention.cpp.
#include <doctest/doctest.h>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

struct Relative {
  std::int32_t window, bias_reach;
  bool biased, causal = false;
};

// Three each with a window, with a bias, with both, and causal. Windows below, of, and beyond a tile; biases of one
// number, of a tile, and none clipped.
constexpr Relative kRelatives[] = {{5, 0, false},   {64, 0, false},      {1, 0, false},        {0, 0, true},
                                   {0, 31, true},   {0, 900, true},      {7, 3, true},         {40, 64, true},
                                   {900, 12, true}, {0, 0, false, true}, {30, 0, false, true}, {50, 20, true, true}};
const std::vector<std::int32_t> kRelativeLengths = {1, 200, 63, 2, 130, 65, 17};

// Every third sequence has many query-only tokens: some see no key in their window.
Case relative_case(Type type, std::size_t head_size, const Relative& relative) {
  Case c(type, head_size, true, kRelativeLengths);
  for (std::size_t s = 1; s < c.sequences(); s += 3) c.key_begin[s] = c.cu[s] + (c.cu[s + 1] - c.cu[s]) / 2;
  c.relate(relative.window, relative.bias_reach, relative.biased, relative.causal);
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

TEST_CASE("attention: windows and biases by distance, and causal, over gaps") {
  const cuda_on_cpu::Restore restore;
  std::size_t turn = 0;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {32, 40, 64, 128})
      for (std::size_t i = 0; i < 4; ++i) {
        const Relative& relative = kRelatives[i * 3 + turn++ / 4 % 3];
        const Case c = relative_case(type, head_size, relative);
        const Expected expected = reference(c);
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        CAPTURE(relative.bias_reach);
        CAPTURE(relative.causal);
        const Result found = run(c, {.probabilities = true});
        CHECK(worst_error(c, expected, found.out) <= 1);
        CHECK((zero_rows(c, expected, found.out) > 0) == (c.causal || (c.window > 0 && c.window < 100)));
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

TEST_CASE(
    "attention: what is related has the same bits alone, in a batch, for first or last tokens, from either tile") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {40, 128})
      for (const Relative& relative : {kRelatives[0], kRelatives[7], kRelatives[9], kRelatives[11]}) {
        const Case c = relative_case(type, head_size, relative);
        const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
        const std::vector<float> first = run(c, {.rows = FILBERT_ROWS_FIRST}).out;
        const std::vector<float> last = run(c, {.rows = FILBERT_ROWS_LAST}).out;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(relative.window);
        CAPTURE(relative.causal);
        for (const std::optional<QueryTile> tile : tiles(type)) CHECK(same_bits(run(c, {.tile = tile}).out, all));
        const std::vector<float> turned = run(c.pick({4, 1, 6, 2}), {}).out;
        CHECK(same_bits(slice(turned, 130 * c.hidden, 200 * c.hidden), slice(all, c.hidden, 200 * c.hidden)));
        for (std::size_t s = 0; s < c.sequences(); ++s) {
          CAPTURE(s);
          const std::size_t row = static_cast<std::size_t>(c.cu[s]) * c.hidden;
          const std::size_t end = static_cast<std::size_t>(c.cu[s + 1] - 1) * c.hidden;
          CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(all, row, c.hidden)));
          CHECK(same_bits(slice(last, s * c.hidden, c.hidden), slice(all, end, c.hidden)));
        }
        CHECK(same_bits(run(c.pick({1}), {}).out, slice(all, c.hidden, 200 * c.hidden)));
      }
}

TEST_CASE("attention: causal, with a window and a bias, heads that share keys, in matrices of their own") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CAPTURE(type);
    Case c(type, 40, true, {100, 3, 64}, 4, 2);
    c.relate(33, 20, true, true);
    const Result packed = run(c, {.probabilities = true});
    CHECK(worst_error(c, reference(c), packed.out) <= 1);
    for (const Layout layout : {Layout::apart, Layout::odd}) {
      const Result found = run(c, {.probabilities = true, .layout = layout});
      CHECK(same_bits(found.out, packed.out));
      CHECK(same_bits(found.probabilities, packed.probabilities));
    }
  }
}

TEST_CASE("attention: keys that are not seen count for nothing, whatever they hold") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const Relative& relative : {Relative{10, 4, true, false}, {0, 0, false, true}, {10, 4, true, true}}) {
      CAPTURE(type);
      CAPTURE(relative.window);
      CAPTURE(relative.causal);
      Case c(type, 32, false, {200});
      c.relate(relative.window, relative.bias_reach, relative.biased, relative.causal);
      const std::vector<float> clean = run(c, {}).out;
      for (std::size_t j = 0; j < c.hidden; ++j) c.k[100 * c.hidden + j] = NAN;
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

// An infinite value of a key that is not seen shows where its tile is read, for it comes with the weight 0.
TEST_CASE("attention: which tiles are passed over is the same for queries alone and in blocks of either size") {
  const cuda_on_cpu::Restore restore;
  struct Passed {
    Relative relative;
    std::int32_t length;
    std::size_t infinite, reads, passes;  // tokens
  };
  const Passed cases[] = {{{20, 0, false, false}, 300, 80, 50, 200},
                          {{20, 0, false, false}, 224, 170, 223, 50},  // alone, the last query would pass over the tile
                          {{0, 0, false, true}, 300, 90, 70, 50},
                          {{0, 0, false, true}, 160, 159, 158, 20},
                          {{20, 0, false, true}, 224, 170, 223, 50}};
  for (const Type type : kTypes)
    for (const Passed& passed : cases) {
      CAPTURE(type);
      CAPTURE(passed.length);
      CAPTURE(passed.relative.causal);
      Case c(type, 32, false, {passed.length});
      c.relate(passed.relative.window, 0, false, passed.relative.causal);
      for (std::size_t j = 0; j < c.hidden; ++j) c.v[passed.infinite * c.hidden + j] = INFINITY;
      const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
      CHECK_FALSE(std::isfinite(all[passed.reads * c.hidden]));
      CHECK(std::isfinite(all[passed.passes * c.hidden]));
      const std::vector<float> first = slice(all, 0, c.hidden), last = slice(all, all.size() - c.hidden, c.hidden);
      for (const std::optional<QueryTile> tile : tiles(type)) {
        CHECK(same_bits(run(c, {.tile = tile}).out, all));
        CHECK(same_bits(run(c, {.tile = tile, .rows = FILBERT_ROWS_FIRST}).out, first));
        CHECK(same_bits(run(c, {.tile = tile, .rows = FILBERT_ROWS_LAST}).out, last));
      }
    }
}
