// Times single ops of a backend. Each prints a line: time, GFLOP/s or GB/s, and the share of a peak.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/backend_loader.h"

namespace filbert::bench {

class OpBench {
 public:
  // On a device with memory of its own, linear takes turns among the matrices of so many layers, as a model does: a
  // single one would stay in the cache.
  OpBench(const std::string& device, int threads, DType dtype, std::size_t layers);

  const filbert_device_description& device() const { return ops_->device(); }

  struct Peaks {
    double gflops = 0;  // 0 if not known
    double gbps = 0;
  };
  void set_peaks(const Peaks& peaks) { peaks_ = peaks; }

  struct Dtype {
    const char* name;
    double weight_bytes;  // of one number
  };

  // These return GFLOP/s.
  double linear(const char* what, std::size_t tokens, std::size_t n, std::size_t k, filbert_activation activation,
                bool with_residual, std::size_t head_size = 0) const;
  double attention(std::size_t sequences, std::size_t length, std::size_t heads, std::size_t head_size) const;
  // With both terms for positions, and the buckets of DeBERTa-v3. Of those terms no operations are counted.
  double disentangled(std::size_t sequences, std::size_t length, std::size_t heads, std::size_t head_size) const;
  // Of a plain product without bias, activation or residual, whose weights come from memory: over 200 MB of them take
  // turns. Calls count that had the gate fast before and after them, or all where those are too few. Prints nothing.
  double yardstick(std::size_t tokens, std::size_t n, std::size_t k) const;
  // These return GB/s, each number of an activation or a table counted once for each use.
  double norm(std::size_t tokens, std::size_t width) const;
  double embed_norm(std::size_t tokens, std::size_t width) const;
  double pool(std::size_t sequences, std::size_t length, std::size_t width) const;

 private:
  using Call = std::function<void(std::size_t)>;  // told how many came before it

  double median_time(const Call& call) const;
  double attend(const char* what, std::size_t sequences, std::size_t length, std::size_t heads, std::size_t head_size,
                const std::function<void(const filbert_attention_args&)>& call) const;
  double activation_bytes(std::size_t count) const;
  double print_bandwidth(const char* op, std::size_t tokens, std::size_t width, double bytes, double time) const;
  void print_share(double rate, double peak, const char* of) const;

  std::unique_ptr<Ops> ops_;
  Dtype dtype_;
  std::size_t layers_;
  Peaks peaks_;
};

}  // namespace filbert::bench
