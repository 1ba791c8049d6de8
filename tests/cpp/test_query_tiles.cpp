// The list of tiles of queries: its order, that it has every query once, and how long it can become.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/query_tiles.h"

using namespace filbert;

namespace {

std::vector<std::size_t> bounds_of(const std::vector<std::size_t>& lengths, std::size_t first = 0) {
  std::vector<std::size_t> bounds = {first};
  for (const std::size_t length : lengths) bounds.push_back(bounds.back() + length);
  return bounds;
}

std::vector<std::int32_t> tiles_of(const std::vector<std::size_t>& lengths, std::size_t queries,
                                   std::size_t first = 0) {
  const std::vector<std::size_t> bounds = bounds_of(lengths, first);
  std::vector<std::int32_t> numbers(2 * count_query_tiles(bounds, queries));
  CHECK(write_query_tiles(bounds, queries, numbers.data()) == numbers.data() + numbers.size());
  return numbers;
}

}  // namespace

TEST_CASE("query tiles: of sequences with many first, otherwise in order") {
  using Numbers = std::vector<std::int32_t>;
  CHECK(tiles_of({3, 9, 0, 4, 12, 5}, 4) == Numbers{1, 0, 1, 4, 1, 8, 4, 0, 4, 4, 4, 8, 5, 0, 5, 4, 0, 0, 3, 0});
  CHECK(tiles_of({}, 4).empty());
  CHECK(tiles_of({0, 0}, 4).empty());
  CHECK(tiles_of({1, 2}, 64, 100) == Numbers{0, 0, 1, 0});
}

TEST_CASE("query tiles: every query once, as many as are counted, and no more than there can be") {
  std::mt19937 generator(1);
  for (int round = 0; round < 200; ++round) {
    const std::size_t queries = generator() % 2 == 0 ? 16 : 64, sequences = generator() % 40;
    const std::size_t longest = 1 + generator() % 300;
    std::vector<std::size_t> lengths(sequences), asked;
    for (std::size_t& length : lengths) length = generator() % 4 == 0 ? 0 : generator() % (longest + 1);
    const std::vector<std::size_t> bounds = bounds_of(lengths);
    const std::vector<std::int32_t> numbers = tiles_of(lengths, queries);
    std::size_t before = longest;
    for (std::size_t i = 0; i < numbers.size(); i += 2) {
      const auto s = static_cast<std::size_t>(numbers[i]), first = static_cast<std::size_t>(numbers[i + 1]);
      REQUIRE(s < sequences);
      CHECK(first % queries == 0);
      for (std::size_t query = first; query < std::min(first + queries, lengths[s]); ++query)
        asked.push_back(bounds[s] + query);
      const std::size_t many = (lengths[s] + queries - 1) / queries;
      CHECK(many <= before);
      before = many;
    }
    std::sort(asked.begin(), asked.end());
    std::vector<std::size_t> all(bounds.back());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    CHECK(asked == all);
    CHECK(2 * count_query_tiles(bounds, queries) == numbers.size());
    CHECK(numbers.size() <= 2 * most_query_tiles(bounds.back(), sequences, queries));
  }
  CHECK(most_query_tiles(3 + 5 * 64, 3, 64) == 8);  // of 1, 1 and 321 tokens
}
