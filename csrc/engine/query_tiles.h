// The queries of sequences in tiles (filbert_query_tiles): what attention has to do of a ragged batch, where blocks for
// every sequence, as many as the longest one needs, would mostly have nothing to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace filbert {

// `bounds`: where sequences begin and end, one after another. `queries`: of a tile.
std::size_t count_query_tiles(std::span<const std::size_t> bounds, std::size_t queries);

// The most that so many sequences with so many tokens in all can have, however long each of them is.
inline std::size_t most_query_tiles(std::size_t tokens, std::size_t sequences, std::size_t queries) {
  return (tokens + sequences * (queries - 1)) / queries;
}

// Writes pairs of a sequence and its query: those of one sequence together, of sequences with most of them first, so
// that what is left in the end is short. Returns where they end.
std::int32_t* write_query_tiles(std::span<const std::size_t> bounds, std::size_t queries, std::int32_t* to);

}  // namespace filbert
