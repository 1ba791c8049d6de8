// Attention with terms for positions, and the neighbours of tokens, on the simulated device, against plain loops in
// double precision.
#include <doctest/doctest.h>

#include <numeric>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

struct Terms {
  std::int32_t reach;
  bool skips;  // some rows, from a distance of 12 on
  bool position_k = true, position_q = true;
};

constexpr Terms kTerms[] = {{5, false}, {300, false}, {40, true}, {64, false, true, false}, {20, true, false, true}};
const std::vector<std::int32_t> kShort = {1, 100, 31, 2, 33, 65, 17};

struct Positions {
  Terms terms;
  std::size_t count, width;  // rows of the tables [count, width + 3], three columns before the heads
  std::vector<float> rows, position_k, position_q;

  Positions(const Case& c, const Terms& of) : terms(of), width(c.hidden + 3) {
    const auto away = [&](std::int32_t distance) {
      return terms.skips && distance > 12 ? 2 * distance - 12 : distance;
    };
    const std::int32_t last = away(terms.reach);
    for (std::int32_t distance = -terms.reach; distance <= terms.reach; ++distance)
      rows.push_back(static_cast<float>(last + (distance < 0 ? -away(-distance) : away(distance))));
    count = static_cast<std::size_t>(2 * last + 1);
    position_k = random_floats(count * width, 10);
    position_q = random_floats(count * width, 11);
    for (std::vector<float>* table : {&position_k, &position_q})
      for (float& value : *table) value = rounded(c.type, value);
  }
  float scale(const Case& c) const {
    return 1.0f / std::sqrt(static_cast<float>(c.head_size) *
                            static_cast<float>(1 + int{terms.position_k} + int{terms.position_q}));
  }
};

Result run(const Case& c, const Positions& positions, const Options& options) {
  const TypedArray position_k(c.type, positions.position_k), position_q(c.type, positions.position_q);
  const DeviceArray<float> rows(positions.rows);
  return run_as(c, options, [&](Attention task) {
    task.scale = positions.scale(c);
    const auto table = [&](bool wanted, const TypedArray& numbers) {
      return wanted ? filbert_heads{numbers.data(), positions.width, 3, positions.count} : filbert_heads{};
    };
    return disentangled_attention(c.type,
                                  {task, table(positions.terms.position_k, position_k),
                                   table(positions.terms.position_q, position_q), rows.data(), positions.terms.reach},
                                  nullptr);
  });
}

Expected reference(const Case& c, const Positions& positions) {
  return reference(c, positions.scale(c), [&](std::size_t query, std::size_t key, std::size_t head) {
    const std::int32_t reach = positions.terms.reach;
    const std::int32_t distance = std::clamp(c.columns[key] - c.columns[query], -reach, reach);
    const auto row = static_cast<std::size_t>(positions.rows[static_cast<std::size_t>(distance + reach)]);
    const std::size_t at = row * positions.width + 3 + head * c.head_size, of_head = head * c.head_size;
    return (positions.terms.position_k ? dot(&c.q[query * c.hidden + of_head], &positions.position_k[at], c.head_size)
                                       : 0) +
           (positions.terms.position_q ? dot(&c.k[key * c.hidden + of_head], &positions.position_q[at], c.head_size)
                                       : 0);
  });
}

// Columns with gaps or without.
Case positioned(Type type, std::size_t head_size, bool gaps, bool masked) {
  Case c(type, head_size, masked, kShort);
  if (gaps) {
    c.relate(0, 0, false);
  } else {
    for (std::size_t s = 0; s < c.sequences(); ++s)
      for (std::int32_t i = c.cu[s]; i < c.cu[s + 1]; ++i) c.columns.push_back(i - c.cu[s]);
  }
  return c;
}

}  // namespace

TEST_CASE("attention: disentangled, of every type, and its probabilities") {
  const cuda_on_cpu::Restore restore;
  std::size_t turn = 0;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 33, 64, 96, 128, 256}) {
      const Terms& terms = kTerms[turn % 5];
      const Case c = positioned(type, head_size, turn % 2 == 0, turn % 3 == 0);
      ++turn;
      const Positions positions(c, terms);
      const Expected expected = reference(c, positions);
      CAPTURE(type);
      CAPTURE(head_size);
      CAPTURE(terms.reach);
      const Result found = run(c, positions, {.probabilities = true});
      CHECK(worst_error(c, expected, found.out) <= 1);
      double worst = 0;
      for (std::size_t p = 0; p < c.floats; ++p) {
        const double error = std::abs(found.probabilities[p] - expected.probabilities[p]);
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
      }
      CHECK(worst < 40 * kUlp);
    }
}

TEST_CASE("attention: disentangled, the same bits alone, in a batch, and for first or last tokens") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : {Type::f32, Type::bf16})
    for (const bool gaps : {false, true}) {
      CAPTURE(type);
      CAPTURE(gaps);
      Case c = positioned(type, 40, gaps, true);
      const Positions positions(c, kTerms[1]);
      const std::vector<float> all = run(c, positions, {}).out;
      CHECK(same_bits(run(c, positions, {.shift = 1, .layout = Layout::odd}).out, all));
      const std::vector<float> first = run(c, positions, {.rows = FILBERT_ROWS_FIRST}).out;
      const std::vector<float> last = run(c, positions, {.rows = FILBERT_ROWS_LAST}).out;
      for (std::size_t s = 0; s < c.sequences(); ++s) {
        CAPTURE(s);
        const std::size_t row = static_cast<std::size_t>(c.cu[s]) * c.hidden;
        const std::size_t end = static_cast<std::size_t>(c.cu[s + 1] - 1) * c.hidden;
        CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(all, row, c.hidden)));
        CHECK(same_bits(slice(last, s * c.hidden, c.hidden), slice(all, end, c.hidden)));
      }
      if (!gaps) continue;  // pick() gives a sequence its columns with gaps
      CHECK(same_bits(run(c.pick({1}), positions, {}).out, slice(all, c.hidden, 100 * c.hidden)));
      const std::vector<float> turned = run(c.pick({4, 1, 6, 2}), positions, {}).out;
      CHECK(same_bits(slice(turned, 33 * c.hidden, 100 * c.hidden), slice(all, c.hidden, 100 * c.hidden)));
    }
}

// So many short sequences that tiles are worth their while.
TEST_CASE("attention: disentangled, the same bits from a list of tiles") {
  const cuda_on_cpu::Restore restore;
  constexpr std::uint64_t kHeads = 4;
  std::vector<std::int32_t> lengths(100, 1);
  lengths[3] = 100, lengths[90] = 20;
  for (const auto& [type, blocks] : {std::pair{Type::f32, 98 + 7 + 2 + 3}, {Type::bf16, (98 + 2 + 1 + 3) * 4}}) {
    CAPTURE(type);
    Case c(type, 8, true, lengths, kHeads);
    c.relate(0, 0, false);
    const Positions positions(c, kTerms[0]);
    const Result plain = run(c, positions, {.probabilities = true});
    const Result found = run(c, positions, {.probabilities = true, .tiled = true});
    CHECK(same_bits(found.out, plain.out));
    CHECK(same_bits(found.probabilities, plain.probabilities));
    const std::uint64_t before = cuda_on_cpu::blocks_run();
    run(c, positions, {.tiled = true});
    CHECK(cuda_on_cpu::blocks_run() - before == static_cast<std::uint64_t>(blocks) * kHeads);
  }
}

TEST_CASE("rows: neighbours are of the same sequence, keys, and as far away as columns say") {
  const cuda_on_cpu::Restore restore;
  const std::vector<std::int32_t> cu = {0, 1, 1, 5, 8}, columns = {4, 0, 1, 2, 5, 0, 1, 3}, key_begin = {0, 1, 1, 6};
  const DeviceArray<std::int32_t> bounds(cu), places(columns), first_keys(key_begin);
  for (const Type type : kTypes)
    for (const std::size_t width : {3, 8, 40})
      for (const bool has_query_only : {false, true})
        for (const std::int32_t reach : {0, 1, 2, 4}) {
          CAPTURE(type);
          CAPTURE(width);
          CAPTURE(has_query_only);
          CAPTURE(reach);
          std::vector<float> x(8 * width);
          std::iota(x.begin(), x.end(), 1.0f);
          for (float& value : x) value = rounded(type, value);
          const auto taps = static_cast<std::size_t>(2 * reach + 1);
          std::vector<float> expected(x.size() * taps);
          for (std::size_t s = 0; s < 4; ++s)
            for (std::int32_t token = cu[s]; token < cu[s + 1]; ++token)
              for (std::int32_t key = has_query_only ? key_begin[s] : cu[s]; key < cu[s + 1]; ++key) {
                const auto from = static_cast<std::size_t>(key), to = static_cast<std::size_t>(token);
                const std::int32_t tap = columns[from] - columns[to] + reach;
                if (tap < 0 || tap > 2 * reach) continue;
                for (std::size_t j = 0; j < width; ++j)
                  expected[(to * taps + static_cast<std::size_t>(tap)) * width + j] = x[from * width + j];
              }
          const TypedArray in(type, x), out(type, expected.size());
          const filbert_batch batch = {
              bounds.data(), has_query_only ? first_keys.data() : nullptr, places.data(), 4, 4, nullptr, {}};
          REQUIRE(neighbours(type, {batch, in.data(), width, reach, out.data()}, nullptr) == cudaSuccess);
          CHECK(out.host() == expected);
        }
}
