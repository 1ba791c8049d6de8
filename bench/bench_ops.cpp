// Each op of the CPU backend at the shapes of MiniLM-L6 and BERT-base: time, GFLOP/s or GB/s, and the share of a peak
// that was measured in the same run.
//
//   bench_ops [--threads N] [--peaks]     FILBERT_CPU_ISA forces an instruction set; --peaks prints those only, as JSON
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/ops.h"
#include "cpu/backend.h"
#include "peaks.h"

namespace {

using filbert::Ops;
using filbert::bench::Peaks;

struct Dtype {
  const char* name;
  filbert_dtype dtype;
  double peak;  // GFLOP/s, 0 if not known
  double bytes;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Median seconds of a call, over 0.15 s.
template <typename Body>
double median_time(const Body& body) {
  body();
  std::vector<double> times;
  for (const double begin = now(); now() - begin < 0.15 || times.size() < 5;) {
    const double start = now();
    body();
    times.push_back(now() - start);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

std::vector<float> random_floats(std::size_t count, float deviation = 1.0f) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

class Bench {
 public:
  Bench(int threads, const Dtype& dtype, const Peaks& peaks)
      : ops_(filbert::cpu::backend(), 0, threads, dtype.dtype), dtype_(dtype), peaks_(peaks) {}

  void linear(const char* what, std::size_t tokens, std::size_t n, std::size_t k, filbert_activation activation,
              bool with_residual) {
    const std::vector<float> x = random_floats(tokens * k);
    const std::vector<float> residual = random_floats(tokens * n);
    std::vector<float> out(tokens * n);
    filbert_weight* weight = load(FILBERT_MATRIX, n, k);
    filbert_weight* bias = load(FILBERT_VECTOR, n, 1);
    const double time = median_time([&] {
      ops_.token_ops({filbert::linear({x.data(), weight, bias, with_residual ? residual.data() : nullptr, activation,
                                       out.data(), 0})},
                     tokens);
    });
    const double rate = 2.0 * static_cast<double>(tokens * n * k) / time / 1e9;
    const double weights = static_cast<double>(n * k) * dtype_.bytes / time / 1e9;
    std::printf("%-8s %-9s %5zu x %4zu x %4zu %10.1f us %8.1f GFLOP/s", dtype_.name, what, tokens, n, k, time * 1e6,
                rate);
    if (dtype_.peak > 0) std::printf("  %5.1f%% of peak", 100 * rate / dtype_.peak);
    std::printf("  weights %6.1f GB/s (%.0f%% of memory)\n", weights, 100 * weights / peaks_.read_gbps);
    ops_.free_weight(weight);
    ops_.free_weight(bias);
  }

  void attention(std::size_t sequences, std::size_t length, std::size_t heads, std::size_t head_size) {
    const std::size_t tokens = sequences * length;
    const std::size_t hidden = heads * head_size;
    const std::vector<float> qkv = random_floats(tokens * 3 * hidden);
    std::vector<float> out(tokens * hidden);
    std::vector<std::int32_t> bounds;
    for (std::size_t s = 0; s <= sequences; ++s) bounds.push_back(static_cast<std::int32_t>(s * length));
    const double time = median_time([&] {
      ops_.attention({qkv.data(), bounds.data(), nullptr, sequences, length, heads, head_size, 0.17f, 0, out.data(),
                      nullptr, nullptr});
    });
    const double rate = 4.0 * static_cast<double>(tokens * length * hidden) / time / 1e9;
    std::printf("%-8s attention %3zu of %3zu, %2zu heads %2zu %6.1f us %8.1f GFLOP/s  %.2f ns a score\n", dtype_.name,
                sequences, length, heads, head_size, time * 1e6, rate,
                time * 1e9 / static_cast<double>(tokens * length * heads));
  }

  void norm(std::size_t tokens, std::size_t width) {
    const std::vector<float> x = random_floats(tokens * width);
    std::vector<float> out(tokens * width);
    filbert_weight* gamma = load(FILBERT_VECTOR, width, 1);
    const double time = median_time(
        [&] { ops_.token_ops({filbert::norm({x.data(), gamma, gamma, 1e-12f, width, out.data()})}, tokens); });
    const double bytes = 2.0 * static_cast<double>(tokens * width) * sizeof(float);
    std::printf("%-8s norm      %5zu x %4zu %17.1f us %8.1f GB/s\n", dtype_.name, tokens, width, time * 1e6,
                bytes / time / 1e9);
    ops_.free_weight(gamma);
  }

 private:
  filbert_weight* load(filbert_weight_kind kind, std::size_t rows, std::size_t cols) {
    const std::vector<float> values = random_floats(rows * cols, 1.0f / std::sqrt(static_cast<float>(cols)));
    const filbert_host_tensor tensor = {values.data(), FILBERT_F32, rows, cols};
    return ops_.load_weight(kind, &tensor, 1);
  }

  Ops ops_;
  Dtype dtype_;
  Peaks peaks_;
};

int run(int argc, char** argv) {
  int threads = 0;
  bool peaks_only = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--peaks") == 0) {
      peaks_only = true;
    } else if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threads = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "usage: %s [--threads N] [--peaks]\n", argv[0]);
      return 2;
    }
  }
  const filbert_device_description device = Ops(filbert::cpu::backend(), 0, threads, FILBERT_F32).device();
  const Peaks peaks = filbert::bench::measure_peaks(device.isa, device.threads);
  std::printf(
      "{\"isa\": \"%s\", \"threads\": %d, \"fp32_gflops\": %.1f, \"bf16_gflops\": %.1f, \"int8_gops\": %.1f, "
      "\"read_gbps\": %.1f}\n",
      device.isa, device.threads, peaks.fp32_gflops, peaks.bf16_gflops, peaks.int8_gops, peaks.read_gbps);
  if (peaks_only) return 0;
  const Dtype dtypes[] = {{"float32", FILBERT_F32, peaks.fp32_gflops, 4},
                          {"bfloat16", FILBERT_BF16, peaks.bf16_gflops, 2},
                          {"int8", FILBERT_I8, peaks.int8_gops, 1}};
  for (const Dtype& dtype : dtypes) {
    Bench bench(threads, dtype, peaks);
    for (const std::size_t hidden : {std::size_t{384}, std::size_t{768}}) {
      for (const std::size_t tokens : {8, 32, 128, 1024}) {
        bench.linear("qkv", tokens, 3 * hidden, hidden, FILBERT_IDENTITY, false);
        bench.linear("out", tokens, hidden, hidden, FILBERT_IDENTITY, true);
        bench.linear("up+gelu", tokens, 4 * hidden, hidden, FILBERT_GELU_ERF, false);
        bench.linear("down", tokens, hidden, 4 * hidden, FILBERT_IDENTITY, true);
      }
      bench.attention(1, 8, 12, hidden / 12);
      bench.attention(8, 128, 12, hidden / 12);
      bench.attention(1, 512, 12, hidden / 12);
      bench.norm(1024, hidden);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 1;
  }
}
