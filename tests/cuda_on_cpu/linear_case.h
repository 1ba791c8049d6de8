// What the tests of matrix products share.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "cuda/activation.h"
#include "cuda/gemm.h"
#include "cuda_on_cpu/machine.h"
#include "floats.h"
#include "typed_array.h"

namespace filbert::testing {

inline constexpr double kUlp = 0x1p-24;

// A device whose blocks may have as much shared memory as the largest tile wants: sm_90.
struct LargeDevice {
  cuda_on_cpu::Restore restore;
  LargeDevice() { cuda_on_cpu::machine().shared_memory = 232448; }
};

inline cuda::Chip chip() {
  const cuda_on_cpu::Machine& machine = cuda_on_cpu::machine();
  return {machine.processors, machine.shared_memory, machine.major == 9 && machine.minor == 0};
}

inline int tiles(cuda::Type type) {
  return static_cast<int>(type == cuda::Type::f32 ? std::size(cuda::kGemmF32Tiles) : std::size(cuda::kGemmTiles));
}

// No tile: the public function, which chooses.
inline cudaError_t run_linear(cuda::Type type, std::optional<int> tile, const cuda::Linear& task) {
  ++cuda_on_cpu::machine().seed;
  if (!tile) return cuda::linear(type, task, chip(), nullptr);
  const auto which = static_cast<std::size_t>(*tile);
  if (type == cuda::Type::f32) return cuda::linear_f32(cuda::kGemmF32Tiles[which], task, nullptr);
  return cuda::linear_16bit(type, cuda::kGemmTiles[which], task, nullptr);
}

// As the type stores them.
inline std::vector<float> numbers_of(cuda::Type type, std::size_t count, unsigned seed, float scale) {
  std::vector<float> values = random_floats(count, seed, scale);
  for (float& value : values) value = rounded(type, value);
  return values;
}

inline double activation_of(filbert_activation activation, double x) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto gelu = [](double v) { return v / 2 * std::erfc(-v / std::sqrt(2.0)); };
  switch (activation) {
    case FILBERT_GELU_ERF:
      return gelu(x);
    case FILBERT_GELU_TANH:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case FILBERT_GELU_ERF_CLIP:
      return std::clamp(gelu(x), -10.0, 10.0);
    case FILBERT_QUICK_GELU:
      return x * sigmoid(1.702 * x);
    case FILBERT_RELU:
      return std::max(x, 0.0);
    case FILBERT_RELU2:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case FILBERT_RELU6:
      return std::clamp(x, 0.0, 6.0);
    case FILBERT_SILU:
      return x * sigmoid(x);
    case FILBERT_TANH:
      return std::tanh(x);
    case FILBERT_SIGMOID:
      return sigmoid(x);
    case FILBERT_LEAKY_RELU:
      return x < 0 ? 0.01 * x : x;
    case FILBERT_MISH:
      return x * std::tanh(std::log1p(std::exp(x)));
    case FILBERT_IDENTITY:
    case FILBERT_ACTIVATIONS:
      break;
  }
  return x;
}

// No activation but RELU2 has a slope above 1.2.
inline double slope_of(filbert_activation activation, double x) {
  return activation == FILBERT_RELU2 ? std::max(2 * x, 1.0) : 1.2;
}

}  // namespace filbert::testing
