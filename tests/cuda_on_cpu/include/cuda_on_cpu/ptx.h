// The bodies of cuda/ptx.h on the CPU.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda_on_cpu/simulator.h"

namespace filbert::cuda {

inline float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t as_bits(float value) { return std::bit_cast<std::uint32_t>(value); }

inline float to_float(float value) { return value; }
inline float to_float(Bf16 value) { return as_float(static_cast<std::uint32_t>(value.bits) << 16); }
inline float to_float(F16 value) {
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  // The exponent is rebased by a multiplication, which also normalises subnormals.
  const std::uint32_t finite = as_bits(as_float(magnitude) * 0x1p112f);
  return as_float(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
}

template <typename T>
T from_float(float value) {
  const std::uint32_t bits = as_bits(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, Bf16>) {
    if (magnitude > 0x7f800000u) return {0x7fff};
    return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
  } else {
    if (magnitude > 0x7f800000u) return {0x7fff};
    if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // 65520
    if (magnitude < 0x38800000u) {  // subnormal: the last place of 0.5 is that of the result
      const std::uint32_t rounded = as_bits(as_float(magnitude) + 0.5f) - as_bits(0.5f);
      return {static_cast<std::uint16_t>(sign | rounded)};
    }
    const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
  }
}

template <typename T>
std::uint32_t pack2(float low, float high) {
  return from_float<T>(low).bits | static_cast<std::uint32_t>(from_float<T>(high).bits) << 16;
}

template <typename T>
void unpack2(std::uint32_t pair, float& low, float& high) {
  low = to_float(T{static_cast<std::uint16_t>(pair)});
  high = to_float(T{static_cast<std::uint16_t>(pair >> 16)});
}

inline float exp2_approx(float value) { return std::exp2(value); }

inline std::byte* shared_memory() { return cuda_on_cpu::shared_memory(); }
inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(shared));
}
inline void sync_block() { cuda_on_cpu::sync_block(); }
inline void sync_warp() {
  cuda_on_cpu::meet_warp("sync_warp", [](void* const(&)[cuda_on_cpu::kWarp]) {}, nullptr);
}

namespace on_cpu {

struct Shuffle {
  std::uint32_t value, source;
};

inline std::uint32_t shuffle(std::uint32_t value, unsigned source) {
  Shuffle mine = {value, source};
  const auto action = [](void* const(&lanes)[cuda_on_cpu::kWarp]) {
    std::uint32_t values[cuda_on_cpu::kWarp];
    for (unsigned i = 0; i < cuda_on_cpu::kWarp; ++i) values[i] = static_cast<Shuffle*>(lanes[i])->value;
    for (void* lane : lanes) {
      auto* one = static_cast<Shuffle*>(lane);
      one->value = values[one->source];
    }
  };
  cuda_on_cpu::meet_warp("a shuffle", action, &mine);
  return mine.value;
}

inline unsigned lane() {
  return ((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x) % cuda_on_cpu::kWarp;
}

void ldmatrix(std::uint32_t* result, int matrices, bool transposed, const void* row);
// Operands in the order of their registers; numbers as float32.
template <typename T>
void mma(float* c, const std::uint32_t* a, const std::uint32_t* b);

}  // namespace on_cpu

inline std::uint32_t shuffle_xor(std::uint32_t value, int lane_mask) {
  return on_cpu::shuffle(value, (on_cpu::lane() ^ static_cast<unsigned>(lane_mask)) % cuda_on_cpu::kWarp);
}
inline std::uint32_t shuffle_down(std::uint32_t value, int delta) {
  const unsigned from = on_cpu::lane() + static_cast<unsigned>(delta);
  return on_cpu::shuffle(value, from < cuda_on_cpu::kWarp ? from : on_cpu::lane());
}
inline std::uint32_t shuffle(std::uint32_t value, int lane) {
  return on_cpu::shuffle(value, static_cast<unsigned>(lane) % cuda_on_cpu::kWarp);
}
inline float shuffle_xor(float value, int lane_mask) { return as_float(shuffle_xor(as_bits(value), lane_mask)); }
inline float shuffle_down(float value, int delta) { return as_float(shuffle_down(as_bits(value), delta)); }
inline float shuffle(float value, int lane) { return as_float(shuffle(as_bits(value), lane)); }

inline Words load_16(const void* from) { return *static_cast<const Words*>(from); }
inline void store_16(void* to, const Words& words) { *static_cast<Words*>(to) = words; }

inline void cp_async_16(void* shared, const void* global, bool valid) {
  cuda_on_cpu::cp_async_16(shared, global, valid);
}
inline void cp_async_commit() { cuda_on_cpu::cp_async_commit(); }
template <int N>
void cp_async_wait() {
  cuda_on_cpu::cp_async_wait(N);
}

inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) { on_cpu::ldmatrix(r, 4, false, row); }
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) { on_cpu::ldmatrix(r, 4, true, row); }
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) { on_cpu::ldmatrix(r, 2, false, row); }
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) { on_cpu::ldmatrix(r, 2, true, row); }

template <typename T>
void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  on_cpu::mma<T>(c, a, b);
}

// Here a kernel starts when the one before it is done.
inline void wait_for_previous() {}
inline void let_next_start() {}

}  // namespace filbert::cuda
