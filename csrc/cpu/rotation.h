// The rotation of int8 operands: a normalised Hadamard transform of each whole block of kRotation numbers along k.
#pragma once

#include <cstddef>

namespace filbert::cpu {

inline constexpr std::size_t kRotation = 128;
inline constexpr float kRotationScale = 0.0883883476f;  // 1 / sqrt(kRotation)

// In place; what the vector kernels do, in plain loops.
static inline void rotate_row(float* x, std::size_t k) {
  for (std::size_t begin = 0; begin + kRotation <= k; begin += kRotation, x += kRotation) {
    for (std::size_t i = 0; i < kRotation; ++i) x[i] *= kRotationScale;
    for (std::size_t stride = 1; stride < kRotation; stride *= 2)
      for (std::size_t pair = 0; pair < kRotation; pair += 2 * stride)
        for (std::size_t i = pair; i < pair + stride; ++i) {
          const float a = x[i];
          const float b = x[i + stride];
          x[i] = a + b;
          x[i + stride] = a - b;
        }
  }
}

}  // namespace filbert::cpu
