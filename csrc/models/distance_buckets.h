// Biases by distance, in buckets, as T5 has them (Raffel et al., arXiv:1910.10683).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace filbert {

// Half of the buckets are for each side; of those, half are for one distance each, and the others grow.
struct DistanceBuckets {
  std::size_t count;      // a power of two, at least 4
  std::int64_t farthest;  // from here on, every distance is in the last bucket of its side; above count / 4

  // Of a key `distance` columns after the query.
  std::size_t of(std::int64_t distance) const;

  // From a table [buckets, heads] to the bias of attention: [heads, 2 farthest + 1].
  std::vector<float> spread(const std::vector<float>& table, std::size_t heads) const;
};

}  // namespace filbert
