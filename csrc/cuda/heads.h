// Where heads lie in a matrix (filbert_heads).
#pragma once

#include "cuda/kernels.h"
#include "cuda/ptx.h"

namespace filbert::cuda {

template <typename T>
__device__ __forceinline__ T* head_of(const filbert_heads& heads, std::size_t token, std::size_t head,
                                      std::size_t head_size) {
  return static_cast<T*>(heads.x) + token * heads.width + heads.column + head * head_size;
}

// Whether all heads begin at multiples of 16 bytes.
template <typename T>
bool are_aligned(const filbert_heads& heads, std::size_t head_size) {
  return (heads.width | heads.column | head_size) % (sizeof(Words) / sizeof(T)) == 0 && is_aligned(heads.x);
}

}  // namespace filbert::cuda
