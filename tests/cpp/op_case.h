// Opens the CPU backend on each instruction set, so that one list of op cases runs on all of them.
#pragma once

#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/ops.h"
#include "cpu/backend.h"
#include "cpu/dispatch.h"

namespace filbert::testing {

class ForcedIsa {
 public:
  explicit ForcedIsa(const char* isa) {
    if (const char* before = std::getenv("FILBERT_CPU_ISA")) before_ = before;
    setenv("FILBERT_CPU_ISA", isa, 1);
  }
  ~ForcedIsa() { before_.empty() ? unsetenv("FILBERT_CPU_ISA") : setenv("FILBERT_CPU_ISA", before_.c_str(), 1); }

 private:
  std::string before_;
};

inline std::unique_ptr<Ops> open_isa(const char* isa, int threads = 2) {
  const ForcedIsa forced(isa);
  return std::make_unique<Ops>(cpu::backend(), 0, threads);
}

inline std::vector<const char*> vector_isas() {
  std::vector<const char*> names;
  for (const cpu::Kernels* kernels : cpu::available_kernels())
    if (std::string(kernels->isa) != "scalar") names.push_back(kernels->isa);
  return names;
}

inline std::vector<float> random_floats(std::size_t count, unsigned seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

struct FreeWeight {
  const Ops* ops;
  void operator()(filbert_weight* weight) const { ops->free_weight(weight); }
};
using WeightPtr = std::unique_ptr<filbert_weight, FreeWeight>;

inline WeightPtr load(const Ops& ops, filbert_weight_kind kind, const std::vector<float>& values, std::size_t rows,
                      std::size_t cols = 1) {
  const filbert_host_tensor tensor = {values.data(), FILBERT_F32, rows, cols};
  return WeightPtr(ops.load_weight(kind, &tensor, 1), FreeWeight{&ops});
}

// The largest |a - b| / (1 + |b|).
inline double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - b[i]) / (1 + std::abs(static_cast<double>(b[i])));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

}  // namespace filbert::testing
