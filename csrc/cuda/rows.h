// What the kernels share that work on rows: numbers of a row in float32 registers, sums over a warp and a block.
#pragma once

#include "cuda/kernels.h"
#include "cuda/ptx.h"

namespace filbert::cuda {

constexpr int kWarp = 32;

// Numbers of T that one access moves.
template <typename T>
constexpr int kVector = static_cast<int>(sizeof(Words) / sizeof(T));

// Numbers of a row as they lie in memory, so that many reads are on their way before the first is waited for. kCount:
// 1, or a multiple of kVector<T> with `from` aligned to 16 bytes.
template <int kCount, typename T>
struct Loaded {
  Words words[kCount / kVector<T>];

  __device__ __forceinline__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < kCount / kVector<T>; ++i) words[i] = reinterpret_cast<const Words*>(from)[i];
  }
  __device__ __forceinline__ void unpack(float (&values)[kCount]) const {
#pragma unroll
    for (int i = 0; i < kCount / kVector<T>; ++i) {
      float* to = values + i * kVector<T>;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (std::is_same_v<T, float>)
          to[j] = as_float(words[i].w[j]);
        else
          unpack2<T>(words[i].w[j], to[2 * j], to[2 * j + 1]);
      }
    }
  }
};

template <typename T>
struct Loaded<1, T> {
  T number;

  __device__ __forceinline__ void load(const T* from) { number = *from; }
  __device__ __forceinline__ void unpack(float (&values)[1]) const { values[0] = to_float(number); }
};

template <int kCount, typename T>
__device__ __forceinline__ void load_row(const T* from, float (&values)[kCount]) {
  Loaded<kCount, T> loaded;
  loaded.load(from);
  loaded.unpack(values);
}

template <int kCount, typename T>
__device__ __forceinline__ void store_row(T* to, const float (&values)[kCount]) {
  if constexpr (kCount == 1) {
    *to = from_float<T>(values[0]);
  } else {
    constexpr int kStep = kVector<T>;
#pragma unroll
    for (int i = 0; i < kCount; i += kStep) {
      Words words;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if constexpr (std::is_same_v<T, float>)
          words.w[j] = as_bits(values[i + j]);
        else
          words.w[j] = pack2<T>(values[i + 2 * j], values[i + 2 * j + 1]);
      }
      store_16(to + i, words);
    }
  }
}

// Every lane gets the same bits.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

// So does every thread of a block of kWarps warps in one dimension. `scratch`: shared memory of kWarps floats, which
// may be used again after the next sync_block.
template <int kWarps>
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = value;
  sync_block();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += scratch[i];
  return sum;
}

// Calls `body` with a null pointer of the type that numbers are stored as.
template <typename Body>
cudaError_t with_type(Type type, Body body) {
  switch (type) {
    case Type::f32:
      return body(static_cast<float*>(nullptr));
    case Type::f16:
      return body(static_cast<F16*>(nullptr));
    case Type::bf16:
      break;
  }
  return body(static_cast<Bf16*>(nullptr));
}

}  // namespace filbert::cuda
