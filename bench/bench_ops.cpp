// Each op at the shapes of MiniLM-L6, BERT-base and, on a GPU, BERT-large: time, GFLOP/s or GB/s, and the share of a
// peak that was measured in the same run. On the CPU peaks are those of the processor (peaks.h). On a GPU they are the
// rates of the largest product and of the norm that follows it, which reads and writes as a copy does.
//
//   bench_ops [--threads N] [--device cuda] [--tokens N] [--peaks]
//
// FILBERT_CPU_ISA forces an instruction set; --tokens leaves out what has more on a GPU; --peaks prints those only, as
// JSON, and on the CPU the yardstick of each dtype beside them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "gate.h"
#include "op_bench.h"
#include "peaks.h"

namespace {

using filbert::DType;
using filbert::bench::OpBench;

struct Model {
  std::size_t layers, hidden, heads;
};
constexpr Model kMiniLm = {6, 384, 12}, kBertBase = {12, 768, 12}, kBertLarge = {24, 1024, 16};

struct Options {
  std::string device = "cpu";
  int threads = 0;
  std::size_t tokens = 65536;
  bool peaks_only = false;
};

void linears(const OpBench& bench, std::size_t tokens, const Model& model) {
  const std::size_t hidden = model.hidden;
  bench.linear("qkv", tokens, 3 * hidden, hidden, FILBERT_IDENTITY, false, hidden / model.heads);
  bench.linear("out", tokens, hidden, hidden, FILBERT_IDENTITY, true);
  bench.linear("up+gelu", tokens, 4 * hidden, hidden, FILBERT_GELU_ERF, false);
  bench.linear("down", tokens, hidden, 4 * hidden, FILBERT_IDENTITY, true);
}

// The product that a model is held to: of as many rows a thread as a batch gives it, with nothing around it. That of
// float32 is one of FMA, also where tiles could multiply float32.
double yardstick(const char* isa, int threads, DType dtype) {
  if (dtype == DType::f32 && std::strcmp(isa, "amx") == 0) setenv("FILBERT_CPU_ISA", "avx512_bf16", 1);
  const OpBench bench("cpu", threads, dtype, 1);
  if (dtype == DType::f32) setenv("FILBERT_CPU_ISA", isa, 1);
  const std::size_t rows = dtype == DType::f32 ? 96 : 384;
  return bench.yardstick(rows * static_cast<std::size_t>(threads), 3072, 768);
}

void print_peaks(const filbert_device_description& device, const filbert::bench::Peaks& peaks) {
  std::printf("{\"isa\": \"%s\", \"threads\": %d, \"fp32_gflops\": %.1f, \"bf16_gflops\": %.1f, ", device.isa,
              device.threads, peaks.fp32_gflops, peaks.bf16_gflops);
  std::printf("\"int8_gops\": %.1f, \"read_gbps\": %.1f", peaks.int8_gops, peaks.read_gbps);
  if (filbert_gate_open(device.isa, device.threads)) {
    const std::pair<const char*, DType> yardsticks[] = {{"fp32_yardstick_gflops", DType::f32},
                                                        {"bf16_yardstick_gflops", DType::bf16},
                                                        {"int8_yardstick_gops", DType::i8}};
    for (const auto& [name, dtype] : yardsticks)
      std::printf(", \"%s\": %.1f", name, yardstick(device.isa, device.threads, dtype));
  }
  std::printf("}\n");
}

void run_cpu(const Options& options) {
  const filbert_device_description device = OpBench("cpu", options.threads, DType::f32, 1).device();
  const filbert::bench::Peaks peaks = filbert::bench::measure_peaks(device.isa, device.threads);
  print_peaks(device, peaks);
  if (options.peaks_only) return;
  const std::pair<DType, double> dtypes[] = {
      {DType::f32, peaks.fp32_gflops}, {DType::bf16, peaks.bf16_gflops}, {DType::i8, peaks.int8_gops}};
  for (const auto& [dtype, gflops] : dtypes) {
    OpBench bench("cpu", options.threads, dtype, 1);
    bench.set_peaks({gflops, peaks.read_gbps});
    for (const Model& model : {kMiniLm, kBertBase}) {
      for (const std::size_t tokens : {8, 32, 128, 1024}) linears(bench, tokens, model);
      const std::size_t head_size = model.hidden / model.heads;
      bench.attention(1, 8, model.heads, head_size);
      bench.attention(8, 128, model.heads, head_size);
      bench.disentangled(8, 128, model.heads, head_size);
      bench.attention(1, 512, model.heads, head_size);
      bench.disentangled(1, 512, model.heads, head_size);
      bench.norm(1024, model.hidden);
    }
  }
}

void run_device(const Options& options) {
  const std::size_t most = options.tokens;
  OpBench::Peaks peaks;
  {
    const OpBench bench(options.device, options.threads, DType::bf16, 1);
    std::printf("%s, %s\n", bench.device().name, bench.device().isa);
    peaks = {bench.linear("peak", most, 4 * kBertLarge.hidden, kBertLarge.hidden, FILBERT_IDENTITY, false),
             bench.norm(most, kBertLarge.hidden)};
  }
  std::printf("{\"linear_gflops\": %.1f, \"norm_gbps\": %.1f}\n", peaks.gflops, peaks.gbps);
  if (options.peaks_only) return;
  for (const Model& model : {kMiniLm, kBertBase, kBertLarge}) {
    OpBench bench(options.device, options.threads, DType::bf16, model.layers);
    bench.set_peaks(peaks);
    for (const std::size_t tokens : {8, 32, 128, 512, 4096, 65536}) {
      if (tokens > most) continue;
      linears(bench, tokens, model);
      bench.norm(tokens, model.hidden);
    }
    for (const std::size_t length : {8, 32, 128, 256, 512}) {
      if (length > most) continue;
      bench.attention(1, length, model.heads, model.hidden / model.heads);
      bench.attention(most / length, length, model.heads, model.hidden / model.heads);
      bench.disentangled(most / length, length, model.heads, model.hidden / model.heads);
    }
    const std::size_t length = std::min<std::size_t>(128, most);
    bench.embed_norm(most, model.hidden);
    bench.pool(most / length, length, model.hidden);
  }
}

int usage(const char* program) {
  std::fprintf(stderr, "usage: %s [--threads N] [--device cuda] [--tokens N] [--peaks]\n", program);
  return 2;
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--peaks") {
      options.peaks_only = true;
    } else if (i + 1 == argc) {
      return usage(argv[0]);
    } else if (option == "--threads") {
      options.threads = std::atoi(argv[++i]);
    } else if (option == "--device") {
      options.device = argv[++i];
    } else if (option == "--tokens" && std::atoi(argv[i + 1]) > 0) {
      options.tokens = static_cast<std::size_t>(std::atoi(argv[++i]));
    } else {
      return usage(argv[0]);
    }
  }
  options.device == "cpu" ? run_cpu(options) : run_device(options);
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
