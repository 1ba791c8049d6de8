#include "peaks.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "clock.h"
#include "loops.h"

namespace filbert::bench {
namespace {

constexpr int kRuns = 25;
constexpr double kRunSeconds = 0.01;  // short, so that some of them fall between two disturbances

// Work per second of body(thread) on all threads, in the best of some runs.
double best_rate(int runs, int threads, double work_per_thread, const std::function<void(int)>& body) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    std::vector<std::thread> helpers;
    const double begin = seconds();
    for (int i = 1; i < threads; ++i) helpers.emplace_back(body, i);
    body(0);
    for (std::thread& helper : helpers) helper.join();
    best = std::max(best, threads * work_per_thread / (seconds() - begin));
  }
  return best;
}

double giga(const Loop& loop, int threads) {
  if (!loop.run) return 0;
  constexpr long kTrial = 100000;
  loop.run(kTrial);
  const double begin = seconds();
  loop.run(kTrial);
  const long rounds = static_cast<long>(kTrial * kRunSeconds / (seconds() - begin));
  return best_rate(kRuns, threads, loop.work * static_cast<double>(rounds), [&](int) { loop.run(rounds); }) / 1e9;
}

double read_rate(int threads) {
  const std::size_t share = (std::size_t{400} << 20) / static_cast<std::size_t>(threads) / 64 * 16;  // floats
  std::vector<float> data(share * static_cast<std::size_t>(threads), 1.0f);
  return best_rate(7, threads, static_cast<double>(share * sizeof(float)),
                   [&](int thread) {
                     const float* p = data.data() + share * static_cast<std::size_t>(thread);
                     float sums[64] = {};
                     for (std::size_t i = 0; i + 64 <= share; i += 64)
                       for (std::size_t j = 0; j < 64; ++j) sums[j] += p[i + j];
                     __asm__ volatile("" : : "r"(sums) : "memory");
                   }) /
         1e9;
}

}  // namespace

Peaks measure_peaks(const std::string& isa, int threads) {
  const Loops loops = loops_of(isa);
  return {giga(loops.fp32, threads), giga(loops.bf16, threads), giga(loops.int8, threads), read_rate(threads)};
}

}  // namespace filbert::bench
