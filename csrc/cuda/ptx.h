// All that kernels use of PTX and of the intrinsics of CUDA; they know no other. The test harness in
// tests/cuda_on_cpu has bodies of its own, which run the same kernels on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace filbert::cuda {

// What numbers are stored as, beside float.
struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

// What one access to memory moves at most.
struct alignas(16) Words {
  std::uint32_t w[4];
};

// Whether `p` is at a multiple of 16 bytes; so is a null pointer.
inline bool is_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignof(Words) == 0; }

}  // namespace filbert::cuda

#ifdef FILBERT_CUDA_ON_CPU
#include <cuda_on_cpu/ptx.h>
#else

namespace filbert::cuda {

__device__ __forceinline__ float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
__device__ __forceinline__ std::uint32_t as_bits(float value) { return __float_as_uint(value); }

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(Bf16 value) { return as_float(static_cast<std::uint32_t>(value.bits) << 16); }
__device__ __forceinline__ float to_float(F16 value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}

// To nearest, ties to even; NaN stays one.
template <typename T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    T result;
    if constexpr (std::is_same_v<T, Bf16>)
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    else
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
  }
}

// `low` is the number at the lower address. T: Bf16 or F16.
template <typename T>
__device__ __forceinline__ std::uint32_t pack2(float low, float high) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, Bf16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
template <typename T>
__device__ __forceinline__ void unpack2(std::uint32_t pair, float& low, float& high) {
  low = to_float(T{static_cast<std::uint16_t>(pair)});
  high = to_float(T{static_cast<std::uint16_t>(pair >> 16)});
}

// 2^x; of -infinity 0. Off by 2 units in the last place at most.
__device__ __forceinline__ float exp2_approx(float value) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
}

// The block's; its size is that of the launch. Aligned to 128 bytes.
__device__ __forceinline__ std::byte* shared_memory() {
  extern __shared__ __align__(128) unsigned char filbert_shared_memory[];
  return reinterpret_cast<std::byte*>(filbert_shared_memory);
}

// All threads of the block, or of the warp, must come to the same one.
__device__ __forceinline__ void sync_block() { __syncthreads(); }
__device__ __forceinline__ void sync_warp() { __syncwarp(); }

// The value of another lane. shuffle_down: past the last lane, one's own.
__device__ __forceinline__ float shuffle_xor(float value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}
__device__ __forceinline__ std::uint32_t shuffle_xor(std::uint32_t value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}
__device__ __forceinline__ float shuffle_down(float value, int delta) {
  return __shfl_down_sync(0xffffffffu, value, static_cast<unsigned>(delta));
}
__device__ __forceinline__ std::uint32_t shuffle_down(std::uint32_t value, int delta) {
  return __shfl_down_sync(0xffffffffu, value, static_cast<unsigned>(delta));
}
__device__ __forceinline__ float shuffle(float value, int lane) { return __shfl_sync(0xffffffffu, value, lane); }
__device__ __forceinline__ std::uint32_t shuffle(std::uint32_t value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}

__device__ __forceinline__ std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Whole, where the compiler might make pieces of it. The address is a multiple of 16.
__device__ __forceinline__ Words load_16(const void* from) {
  Words words;
  asm volatile("ld.global.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.w[0]), "=r"(words.w[1]), "=r"(words.w[2]), "=r"(words.w[3])
               : "l"(from));
  return words;
}
__device__ __forceinline__ void store_16(void* to, const Words& words) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(words.w[0]), "r"(words.w[1]), "r"(words.w[2]),
               "r"(words.w[3])
               : "memory");
}

// Copies 16 bytes without waiting, past L1; both addresses are multiples of 16. Zeros when not valid: `global` is then
// not read. The bytes are there for this thread after the wait for their group, for others after a sync besides.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most N groups of this thread are on their way.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// 8x8 matrices of 16-bit numbers. Lane i gives the address of row i % 8 of matrix i / 8 and gets of each matrix
// row i / 4, columns 2 (i % 4) and the next one; of a transposed one column i / 4, rows 2 (i % 4) and the next one.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

// c += a b by the warp: a [16, 16] rows of T, b [16, 8] columns of T, c float32. With g = lane / 4 and t = lane % 4,
// pairs of neighbours along k: a[0..3] at rows g, g + 8, g, g + 8 and k = 2t, 2t, 2t + 8, 2t + 8; b[0..1] at column g
// and k = 2t, 2t + 8; c[0..1] at row g, columns 2t, 2t + 1; c[2..3] at row g + 8.
template <typename T>
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, Bf16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Kernels that may start while the one before them in the stream still runs: nothing of what that one writes or reads
// is touched before wait_for_previous, and every thread calls it. What only uploads write, and weights, whose loading
// waits for the stream, may be read before. let_next_start: the next one may start as soon as all
// blocks have said so.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace filbert::cuda

#endif
