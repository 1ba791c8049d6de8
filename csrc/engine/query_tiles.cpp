#include "engine/query_tiles.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace filbert {
namespace {

std::size_t tiles_of(std::span<const std::size_t> bounds, std::size_t sequence, std::size_t queries) {
  return (bounds[sequence + 1] - bounds[sequence] + queries - 1) / queries;
}

}  // namespace

std::size_t count_query_tiles(std::span<const std::size_t> bounds, std::size_t queries) {
  std::size_t count = 0;
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) count += tiles_of(bounds, s, queries);
  return count;
}

std::int32_t* write_query_tiles(std::span<const std::size_t> bounds, std::size_t queries, std::int32_t* to) {
  std::vector<std::size_t> place;  // of the next sequence with so many tiles; first, how many such sequences have
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    const std::size_t tiles = tiles_of(bounds, s, queries);
    place.resize(std::max(place.size(), tiles + 1));
    place[tiles] += tiles;
  }
  std::size_t count = 0;
  for (auto of = place.rbegin(); of != place.rend(); ++of) count += std::exchange(*of, count);

  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    const std::size_t tiles = tiles_of(bounds, s, queries);
    for (std::size_t i = 0; i < tiles; ++i) {
      std::int32_t* const tile = to + 2 * place[tiles]++;
      tile[0] = static_cast<std::int32_t>(s);
      tile[1] = static_cast<std::int32_t>(i * queries);
    }
  }
  return to + 2 * count;
}

}  // namespace filbert
