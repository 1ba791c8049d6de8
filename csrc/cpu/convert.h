// Stored dtypes to float32: exact for f16 and bf16, rounded to nearest for f64. And float32 to bf16.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "filbert/backend.h"

namespace filbert::cpu {

inline std::size_t dtype_size(filbert_dtype dtype) { return dtype == FILBERT_F64 ? 8 : dtype == FILBERT_F32 ? 4 : 2; }

inline float bf16_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// To nearest, ties to even; NaN stays one.
inline std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
  if ((bits & 0x7c00u) == 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | magnitude);  // infinity, NaN
  // The exponent is rebased by a multiplication, which also normalises subnormals.
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

// source may have any alignment
inline void to_float(filbert_dtype dtype, const void* source, std::size_t count, float* out) {
  const char* bytes = static_cast<const char*>(source);
  if (dtype == FILBERT_F32) {
    if (count > 0) std::memcpy(out, bytes, count * sizeof(float));
  } else if (dtype == FILBERT_F64) {
    for (std::size_t i = 0; i < count; ++i) {
      double value;
      std::memcpy(&value, bytes + i * sizeof(value), sizeof(value));
      out[i] = static_cast<float>(value);
    }
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
      out[i] = dtype == FILBERT_F16 ? f16_to_float(bits) : bf16_to_float(bits);
    }
  }
}

}  // namespace filbert::cpu
