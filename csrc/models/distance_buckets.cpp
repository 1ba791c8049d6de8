#include "models/distance_buckets.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace filbert {

std::size_t DistanceBuckets::of(std::int64_t distance) const {
  // Where a bucket begins at a whole distance, the logarithm is off by rounding, by some 1e-14. No other distance is as
  // near to a beginning as 1e-7 where the buckets are a power of two up to 128 and the farthest distance is up to 512:
  // all were compared with integers, and with transformers, which computes in float32.
  constexpr double kRounding = 1e-10;
  const std::size_t of_side = count / 2, single = of_side / 2;
  auto bucket = static_cast<std::size_t>(std::abs(distance));
  if (bucket >= single) {
    const auto first = static_cast<double>(single);
    const double share =
        std::log(static_cast<double>(bucket) / first) / std::log(static_cast<double>(farthest) / first);
    const double steps = share * static_cast<double>(of_side - single) + kRounding;
    bucket = std::min(of_side - 1, single + static_cast<std::size_t>(steps));
  }
  return bucket + (distance > 0 ? of_side : 0);
}

std::vector<float> DistanceBuckets::spread(const std::vector<float>& table, std::size_t heads) const {
  std::vector<float> result;
  for (std::size_t head = 0; head < heads; ++head)
    for (std::int64_t distance = -farthest; distance <= farthest; ++distance)
      result.push_back(table[of(distance) * heads + head]);
  return result;
}

}  // namespace filbert
