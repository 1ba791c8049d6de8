// Products of four warps, which run beside the threads: what was begun, what is done, and the sums that it is for.
#pragma once

#include <bitset>
#include <cstdint>
#include <deque>
#include <list>
#include <vector>

namespace filbert::cuda_on_cpu {

inline constexpr unsigned kFourWarps = 128;

// c [64, n] += x [64, 16] w [n, 16]^T
struct WideProduct {
  const void* x;
  const void* w;
  unsigned n;
  void (*multiply)(const WideProduct&, float* c);
  bool operator==(const WideProduct&) const = default;
};

// NaN in the threads' arrays until these take them.
struct WideSums {
  unsigned n;
  float* threads[kFourWarps];
  std::vector<float> values;
  std::uint64_t last;  // product for them
  std::bitset<kFourWarps> taken;
};

struct FourWarps {
  // The product to which threads come.
  unsigned came = 0;
  WideProduct product;
  float* arrays[kFourWarps];

  std::uint64_t begun = 0, done = 0;
  std::list<WideSums> sums;
  struct {
    bool fenced = false;               // since sums were taken
    std::deque<std::uint64_t> groups;  // how many products had begun at each commit
  } threads[kFourWarps];

  bool has_sums_of(unsigned thread) const;
};

}  // namespace filbert::cuda_on_cpu
