#include "op_bench.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "clock.h"
#include "engine/tensors.h"
#include "gate.h"

namespace filbert::bench {
namespace {

std::vector<float> random_floats(std::size_t count, float deviation = 1.0f) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// Memory of a backend, with a copy of what lies in host memory unless that is null.
class Buffer {
 public:
  Buffer(const Ops& ops, const void* host, std::size_t bytes) : ops_(ops), data_(ops.alloc(bytes)) {
    if (host) ops.upload(data_, host, bytes);
  }
  ~Buffer() { ops_.free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  const std::int32_t* numbers() const { return static_cast<const std::int32_t*>(data_); }

 private:
  const Ops& ops_;
  void* data_;
};

// Random numbers in float32 or bfloat16, the only types of activations that are timed. They repeat after a million:
// drawing hundreds of millions would take longer than the benchmark.
Buffer random_activations(const Ops& ops, std::size_t count) {
  const std::vector<float> values = random_floats(std::min(count, std::size_t{1} << 20));
  const std::size_t size = ops.device().activation_bytes;
  std::vector<char> bytes(count * size);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]) >> (8 * (sizeof(float) - size));
    std::memcpy(&bytes[i * size], &bits, size);
  }
  for (std::size_t done = values.size() * size; done < bytes.size(); done *= 2)
    std::memcpy(&bytes[done], bytes.data(), std::min(done, bytes.size() - done));
  return Buffer(ops, bytes.data(), bytes.size());
}

Buffer result(const Ops& ops, std::size_t count) { return Buffer(ops, nullptr, count * ops.device().activation_bytes); }

Buffer indices(const Ops& ops, const std::vector<std::int32_t>& values) {
  return Buffer(ops, values.data(), values.size() * sizeof(std::int32_t));
}

Buffer equal_sequences(const Ops& ops, std::size_t sequences, std::size_t length) {
  std::vector<std::int32_t> bounds;
  for (std::size_t s = 0; s <= sequences; ++s) bounds.push_back(static_cast<std::int32_t>(s * length));
  return indices(ops, bounds);
}

Buffer positions_in(const Ops& ops, std::size_t sequences, std::size_t length) {
  std::vector<std::int32_t> positions;
  for (std::size_t i = 0; i < sequences * length; ++i) positions.push_back(static_cast<std::int32_t>(i % length));
  return indices(ops, positions);
}

// Copies of a random weight.
class RandomWeight {
 public:
  RandomWeight(const Ops& ops, filbert_weight_kind kind, std::size_t rows, std::size_t cols = 1, std::size_t copies = 1)
      : ops_(ops), values_(random_floats(rows * cols, 1.0f / std::sqrt(static_cast<float>(cols)))) {
    const filbert_host_tensor tensor = {values_.data(), FILBERT_F32, rows, cols};
    for (std::size_t i = 0; i < copies; ++i) weights_.push_back(ops.load_weight(kind, &tensor, 1));
  }
  ~RandomWeight() {
    for (filbert_weight* weight : weights_) ops_.free_weight(weight);
  }
  RandomWeight(const RandomWeight&) = delete;
  RandomWeight& operator=(const RandomWeight&) = delete;

  filbert_weight* operator[](std::size_t i) const { return weights_[i % weights_.size()]; }

 private:
  const Ops& ops_;
  std::vector<float> values_;  // a table may use them in place
  std::vector<filbert_weight*> weights_;
};

// Random heads [rows, width], as the backend lays them.
void make_heads(const Ops& ops, std::size_t rows, std::size_t width, std::size_t head_size, const Buffer& out) {
  constexpr std::size_t kIn = 64;
  const Buffer x = random_activations(ops, rows * kIn);
  const RandomWeight weight(ops, FILBERT_MATRIX, width, kIn);
  ops.token_ops({linear({x.data(), weight[0], nullptr, nullptr, FILBERT_IDENTITY, out.data(), head_size})}, rows);
  ops.sync();
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

OpBench::Dtype describe(DType dtype) {
  if (dtype == DType::f32) return {"float32", 4};
  if (dtype == DType::bf16) return {"bfloat16", 2};
  return {"int8", 1};
}

}  // namespace

OpBench::OpBench(const std::string& device, int threads, DType dtype, std::size_t layers)
    : ops_(open_device(device, threads, dtype).ops),
      dtype_(describe(dtype)),
      layers_(ops_->device().activations_on_host ? 1 : layers) {}

double OpBench::linear(const char* what, std::size_t tokens, std::size_t n, std::size_t k,
                       filbert_activation activation, bool with_residual, std::size_t head_size) const {
  const Buffer x = random_activations(*ops_, tokens * k);
  const Buffer residual = random_activations(*ops_, with_residual ? tokens * n : 1);
  const Buffer out = result(*ops_, tokens * n);
  const RandomWeight weights(*ops_, FILBERT_MATRIX, n, k, layers_), bias(*ops_, FILBERT_VECTOR, n);
  const double time = median_time([&](std::size_t before) {
    ops_->token_ops({filbert::linear({x.data(), weights[before], bias[0], with_residual ? residual.data() : nullptr,
                                      activation, out.data(), head_size})},
                    tokens);
  });
  const double rate = 2.0 * static_cast<double>(tokens * n * k) / time / 1e9;
  const double read = static_cast<double>(n * k) * dtype_.weight_bytes / time / 1e9;
  std::printf("%-8s %-9s %5zu x %4zu x %4zu %10.1f us %8.1f GFLOP/s", dtype_.name, what, tokens, n, k, time * 1e6,
              rate);
  if (peaks_.gflops > 0) std::printf("  %5.1f%% of peak", 100 * rate / peaks_.gflops);
  std::printf("  weights %6.1f GB/s", read);
  if (peaks_.gbps > 0) std::printf(" (%.0f%% of memory)", 100 * read / peaks_.gbps);
  std::printf("\n");
  return rate;
}

double OpBench::yardstick(std::size_t tokens, std::size_t n, std::size_t k) const {
  constexpr double kBytes = 200e6, kSeconds = 2, kFast = 0.85;
  constexpr std::size_t kFewest = 5;
  const auto copies = static_cast<std::size_t>(kBytes / (static_cast<double>(n * k) * dtype_.weight_bytes)) + 1;
  const Buffer x = random_activations(*ops_, tokens * k);
  const Buffer out = result(*ops_, tokens * n);
  const RandomWeight weights(*ops_, FILBERT_MATRIX, n, k, copies);
  struct Sample {
    double gate, time;
  };
  std::vector<Sample> samples;
  double best_gate = filbert_gate_rate();
  const double begin = seconds();
  for (std::size_t i = 0; seconds() - begin < kSeconds || i < kFewest; ++i) {
    const double before = filbert_gate_rate();
    const double start = seconds();
    ops_->token_ops({filbert::linear({x.data(), weights[i], nullptr, nullptr, FILBERT_IDENTITY, out.data(), 0})},
                    tokens);
    const double time = seconds() - start;
    samples.push_back({std::min(before, filbert_gate_rate()), time});
    best_gate = std::max(best_gate, before);
  }
  std::vector<double> times;
  for (const Sample& sample : samples)
    if (sample.gate >= kFast * best_gate) times.push_back(sample.time);
  if (times.size() < kFewest) {
    std::fprintf(stderr, "%s: only %zu of %zu calls of the yardstick were in the fast state: all count\n", dtype_.name,
                 times.size(), samples.size());
    times.clear();
    for (const Sample& sample : samples) times.push_back(sample.time);
  }
  return 2.0 * static_cast<double>(tokens * n * k) / median(times) / 1e9;
}

double OpBench::attention(std::size_t sequences, std::size_t length, std::size_t heads, std::size_t head_size) const {
  return attend("attention", sequences, length, heads, head_size,
                [&](const filbert_attention_args& args) { ops_->attention(args); });
}

double OpBench::disentangled(std::size_t sequences, std::size_t length, std::size_t heads,
                             std::size_t head_size) const {
  constexpr int kBuckets = 256, kFarthest = 512, kMiddle = kBuckets / 2;
  std::vector<float> rows;
  for (int distance = -kFarthest; distance <= kFarthest; ++distance) {
    const int away = std::abs(distance);
    const double wide = std::log(static_cast<double>(away) / kMiddle) / std::log((kFarthest - 1.0) / kMiddle);
    const int bucket = away <= kMiddle ? away : kMiddle + static_cast<int>(std::ceil(wide * (kMiddle - 1)));
    rows.push_back(
        static_cast<float>(std::clamp(distance < 0 ? -bucket : bucket, 1 - kBuckets, kBuckets) + kBuckets - 1));
  }
  const std::size_t width = heads * head_size;
  const Buffer tables = result(*ops_, 2 * kBuckets * 2 * width);
  make_heads(*ops_, 2 * kBuckets, 2 * width, head_size, tables);
  const filbert_host_tensor numbers = {rows.data(), FILBERT_F32, rows.size(), 1};
  const Weight by_distance(*ops_, ops_->load_weight(FILBERT_VECTOR, &numbers, 1));
  return attend("positions", sequences, length, heads, head_size, [&](const filbert_attention_args& args) {
    ops_->disentangled_attention({args,
                                  {tables.data(), 2 * width, 0, 2 * kBuckets},
                                  {tables.data(), 2 * width, width, 2 * kBuckets},
                                  by_distance,
                                  kFarthest});
  });
}

double OpBench::attend(const char* what, std::size_t sequences, std::size_t length, std::size_t heads,
                       std::size_t head_size, const std::function<void(const filbert_attention_args&)>& call) const {
  const std::size_t tokens = sequences * length;
  const std::size_t hidden = heads * head_size;
  const Buffer qkv = result(*ops_, tokens * 3 * hidden);
  make_heads(*ops_, tokens, 3 * hidden, head_size, qkv);
  const Buffer out = result(*ops_, tokens * hidden);
  const Buffer bounds = equal_sequences(*ops_, sequences, length);
  const Buffer columns = positions_in(*ops_, sequences, length);
  const filbert_batch batch = {bounds.numbers(), nullptr, columns.numbers(), sequences, length, nullptr, {}};
  filbert_attention_args args = {};
  args.batch = &batch;
  args.q = {qkv.data(), 3 * hidden, 0, tokens};
  args.k = {qkv.data(), 3 * hidden, hidden, tokens};
  args.v = {qkv.data(), 3 * hidden, 2 * hidden, tokens};
  args.heads = args.kv_heads = heads;
  args.head_size = head_size;
  args.scale = 0.17f;
  args.out = out.data();
  const double time = median_time([&](std::size_t) { call(args); });
  const double rate = 4.0 * static_cast<double>(tokens * length * hidden) / time / 1e9;
  std::printf("%-8s %s %3zu of %3zu, %2zu heads %2zu %6.1f us %8.1f GFLOP/s  %.2f ns a score", dtype_.name, what,
              sequences, length, heads, head_size, time * 1e6, rate,
              time * 1e9 / static_cast<double>(tokens * length * heads));
  print_share(rate, peaks_.gflops, "peak");
  return rate;
}

double OpBench::norm(std::size_t tokens, std::size_t width) const {
  const Buffer x = random_activations(*ops_, tokens * width);
  const Buffer out = result(*ops_, tokens * width);
  const RandomWeight gamma(*ops_, FILBERT_VECTOR, width);
  const double time = median_time([&](std::size_t) {
    ops_->token_ops(
        {filbert::norm({FILBERT_LAYER_NORM, x.data(), gamma[0], gamma[0], 1e-12f, width, out.data(), nullptr})},
        tokens);
  });
  return print_bandwidth("norm", tokens, width, 2 * activation_bytes(tokens * width), time);
}

double OpBench::embed_norm(std::size_t tokens, std::size_t width) const {
  constexpr std::size_t kWords = 30522, kTypes = 2, kPositions = 512;
  std::mt19937 generator(1);
  std::vector<std::int32_t> words(tokens), positions(tokens);
  for (std::int32_t& word : words) word = static_cast<std::int32_t>(generator() % kWords);
  for (std::size_t i = 0; i < tokens; ++i) positions[i] = static_cast<std::int32_t>(i % kPositions);
  const Buffer word_ids = indices(*ops_, words);
  const Buffer type_ids = indices(*ops_, std::vector<std::int32_t>(tokens));
  const Buffer position_ids = indices(*ops_, positions);
  const Buffer sum = result(*ops_, tokens * width), out = result(*ops_, tokens * width);
  const RandomWeight word(*ops_, FILBERT_TABLE, kWords, width), type(*ops_, FILBERT_TABLE, kTypes, width),
      position(*ops_, FILBERT_TABLE, kPositions, width);
  const RandomWeight gamma(*ops_, FILBERT_VECTOR, width);
  const double time = median_time([&](std::size_t) {
    ops_->token_ops(
        {filbert::embed({word_ids.numbers(), type_ids.numbers(), position_ids.numbers(), word[0], type[0], position[0],
                         width, sum.data(), 1},
                        FILBERT_NEXT_ALONE),
         filbert::norm({FILBERT_LAYER_NORM, sum.data(), gamma[0], gamma[0], 1e-12f, width, out.data(), nullptr})},
        tokens);
  });
  // The other two tables are small enough for a cache.
  const double words_read = static_cast<double>(tokens * width * sizeof(float));
  return print_bandwidth("embed", tokens, width, words_read + activation_bytes(tokens * width), time);
}

double OpBench::pool(std::size_t sequences, std::size_t length, std::size_t width) const {
  const Buffer x = random_activations(*ops_, sequences * length * width);
  const Buffer out = result(*ops_, sequences * width);
  const Buffer bounds = equal_sequences(*ops_, sequences, length);
  const filbert_batch batch = {bounds.numbers(), nullptr, nullptr, sequences, length, nullptr, {}};
  const double time =
      median_time([&](std::size_t) { ops_->pool({&batch, x.data(), width, FILBERT_POOL_MEAN, 1, out.data()}); });
  return print_bandwidth("pool", sequences * length, width, activation_bytes(sequences * (length + 1) * width), time);
}

// Median seconds of a call, over 0.15 s. A device runs behind its caller: there many calls are recorded and replayed as
// one, for about 10 ms, so that neither launching nor waiting is timed.
double OpBench::median_time(const Call& call) const {
  const auto time = [&](const auto& body) {
    const double start = seconds();
    body();
    ops_->sync();
    return seconds() - start;
  };
  call(0);
  ops_->sync();
  std::size_t calls = 1;
  std::function<void()> body = [&] { call(0); };
  filbert_recording* recording = nullptr;
  if (device().tokens_to_record > 0) {
    calls = static_cast<std::size_t>(std::clamp(0.01 / time(body), 1.0, 1000.0));
    recording = ops_->record([&] {
      for (std::size_t i = 0; i < calls; ++i) call(i);
    });
    body = [&] { ops_->replay(recording); };
    body();
    ops_->sync();
  }
  std::vector<double> times;
  for (const double begin = seconds(); seconds() - begin < 0.15 || times.size() < 5;) times.push_back(time(body));
  if (recording) ops_->free_recording(recording);
  return median(times) / static_cast<double>(calls);
}

double OpBench::activation_bytes(std::size_t count) const {
  return static_cast<double>(count * device().activation_bytes);
}

double OpBench::print_bandwidth(const char* op, std::size_t tokens, std::size_t width, double bytes,
                                double time) const {
  const double rate = bytes / time / 1e9;
  std::printf("%-8s %-9s %5zu x %4zu %17.1f us %8.1f GB/s", dtype_.name, op, tokens, width, time * 1e6, rate);
  print_share(rate, peaks_.gbps, "memory");
  return rate;
}

// Ends the line. On the CPU these ops work in caches and on few tokens: shares would say nothing.
void OpBench::print_share(double rate, double peak, const char* of) const {
  if (peak > 0 && !device().activations_on_host) std::printf("  %5.1f%% of %s", 100 * rate / peak, of);
  std::printf("\n");
}

}  // namespace filbert::bench
