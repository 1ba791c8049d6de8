// The instructions that only sm_90a has, as functions: products of four warps with operands in shared memory, boxes of
// matrices brought there by the copy engine, and the barriers that both report to. Like ptx.h, with other bodies in
// tests/cuda_on_cpu.
//
// Kernels that use them are launched on sm_90 alone; compiled for another architecture (kIsSm90Code) they are empty.
#pragma once

#include "cuda/ptx.h"

#ifdef FILBERT_CUDA_ON_CPU
#include <cuda_on_cpu/ptx_sm90.h>
#else

#include <cuda.h>

namespace filbert::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FILBERT_SM90(...) asm volatile(__VA_ARGS__)
inline constexpr bool kIsSm90Code = true;
#else
#define FILBERT_SM90(...)
inline constexpr bool kIsSm90Code = false;
#endif

// A matrix in global memory; made on the host (tensor_map.h), a kernel's parameter as `const __grid_constant__`.
using TensorMap = CUtensorMap;

// In shared memory. A phase ends when all arrivals have come and all bytes that were announced are there; then the next
// one begins.
struct Barrier {
  alignas(8) std::uint64_t state;
};

__device__ __forceinline__ void barrier_init(Barrier* barrier, unsigned arrivals) {
  FILBERT_SM90("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// By each thread that initialised some, before the block, or the cluster, meets and uses them.
__device__ __forceinline__ void barriers_are_made() {
  FILBERT_SM90("fence.mbarrier_init.release.cluster;" :: : "memory");
}
// An arrival that announces bytes.
__device__ __forceinline__ void barrier_expect(Barrier* barrier, unsigned bytes) {
  FILBERT_SM90("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(Barrier* barrier) {
  FILBERT_SM90("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// At the barrier in the same place of another block of the cluster, or of this one. It orders no memory: what is said
// is that products are done reading.
__device__ __forceinline__ void barrier_arrive_at(Barrier* barrier, unsigned rank) {
  FILBERT_SM90(
      "{.reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; "
      "mbarrier.arrive.shared::cluster.b64 _, [remote];}" ::"r"(shared_address(barrier)),
      "r"(rank) : "memory");
}
// Until the phase of this parity is over: of the one that runs and the one before it, for it knows no others.
__device__ __forceinline__ void barrier_wait(Barrier* barrier, unsigned parity) {
  FILBERT_SM90(
      "{.reg .pred done; waiting%=: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; @!done bra waiting%=;}" ::
          "r"(shared_address(barrier)),
      "r"(parity) : "memory");
}

// Copies the map's box at (column, row) to shared memory, zeros for what is outside the matrix; all bytes count for the
// barrier. Rows lie 128 bytes apart, their 16-byte words exchanged by the low three bits of the row; `to` is at a
// multiple of 1024 bytes.
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, int column, int row, Barrier* barrier) {
  FILBERT_SM90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row) : "memory");
}
// To the same place of all blocks of the cluster whose bit is set, and for the barrier of each.
__device__ __forceinline__ void copy_box_to_all(void* to, const TensorMap& map, int column, int row, Barrier* barrier,
                                                std::uint16_t blocks) {
  FILBERT_SM90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row), "h"(blocks) : "memory");
}

__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank = 0;
  FILBERT_SM90("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// All threads of the cluster.
__device__ __forceinline__ void sync_cluster() {
  FILBERT_SM90("barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;" :: : "memory");
}

// Barriers by number (1 to 15) of `threads` threads, whole warps: those that only arrive, and those that wait as well.
__device__ __forceinline__ void group_arrive(int number, int threads) {
  FILBERT_SM90("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ __forceinline__ void group_sync(int number, int threads) {
  FILBERT_SM90("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// Registers of each thread from here on, by all of four warps.
template <int N>
__device__ __forceinline__ void take_registers() {
  FILBERT_SM90("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
__device__ __forceinline__ void leave_registers() {
  FILBERT_SM90("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

// Products run beside the threads. products_begin comes after registers have touched the sums and before the products
// that read them; sums may be read again after the wait that leaves at most N groups unfinished.
__device__ __forceinline__ void products_begin() { FILBERT_SM90("wgmma.fence.sync.aligned;" :: : "memory"); }
__device__ __forceinline__ void products_commit() { FILBERT_SM90("wgmma.commit_group.sync.aligned;" :: : "memory"); }
template <int N>
__device__ __forceinline__ void products_wait() {
  FILBERT_SM90("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

// What copy_box laid down, as an operand: the 16 of k from `begin` on, which is the same for the whole warp and at most
// 96 bytes into a row. An instruction wants it in uniform registers, so all of it that changes is one word.
struct Boxed {
  std::uint32_t low;

  __device__ __forceinline__ explicit Boxed(const void* begin)
      : low(__shfl_sync(0xffffffffu, (shared_address(begin) & 0x3ffff) >> 4 | 1u << 16, 0)) {}
  // That is `bytes`, a multiple of 1024, further, and there the i-th 16 of k.
  __device__ __forceinline__ Boxed at(unsigned bytes, int i) const {
    Boxed moved = *this;
    moved.low += bytes / 16 + static_cast<unsigned>(i) * 2;
    return moved;
  }
  __device__ __forceinline__ std::uint64_t bits() const { return std::uint64_t{1024 >> 4 | 1u << 30} << 32 | low; }
};

// After the wait: nothing that reads these sums is moved to before it.
template <int N>
__device__ __forceinline__ void sums_are_there(float (&c)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(c[i])::"memory");
}

#define FILBERT_R4(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define FILBERT_R16(i) FILBERT_R4(i), FILBERT_R4(i + 4), FILBERT_R4(i + 8), FILBERT_R4(i + 12)
#define FILBERT_R32(i) FILBERT_R16(i), FILBERT_R16(i + 16)
#define FILBERT_WGMMA(n, type, list, a, b, ...)                                                           \
  FILBERT_SM90("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" list "}, %" a ", %" b \
               ", 1, 1, 1, 0, 0;" : __VA_ARGS__ : "l"(x.bits()),                                          \
               "l"(w.bits()))
#define FILBERT_WGMMA_OF(n, list, a, b, ...)           \
  if constexpr (std::is_same_v<T, Bf16>)               \
    FILBERT_WGMMA(n, "bf16", list, a, b, __VA_ARGS__); \
  else                                                 \
    FILBERT_WGMMA(n, "f16", list, a, b, __VA_ARGS__)
#define FILBERT_L4 "%0,%1,%2,%3"
#define FILBERT_L8 FILBERT_L4 ",%4,%5,%6,%7"
#define FILBERT_L16 FILBERT_L8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define FILBERT_L32 FILBERT_L16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define FILBERT_L64                                                                                              \
  FILBERT_L32                                                                                                    \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58" \
  ",%59,%60,%61,%62,%63"
#define FILBERT_L96                                                                                              \
  FILBERT_L64                                                                                                    \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90" \
  ",%91,%92,%93,%94,%95"
#define FILBERT_L128                                                                                           \
  FILBERT_L96                                                                                                  \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117" \
  ",%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

// c += x w^T by four warps, x [64, 16] and w [N, 16] of T. Warp i of the four has rows 16 i to 16 i + 15, in
// the layout of mma_16x8x16's c: numbers 4 j to 4 j + 3 are of columns 8 j to 8 j + 7.
template <typename T, int N>
__device__ __forceinline__ void multiply_64(float (&c)[N / 2], Boxed x, Boxed w) {
  if constexpr (N == 8) {
    FILBERT_WGMMA_OF(8, FILBERT_L4, "4", "5", FILBERT_R4(0));
  } else if constexpr (N == 16) {
    FILBERT_WGMMA_OF(16, FILBERT_L8, "8", "9", FILBERT_R4(0), FILBERT_R4(4));
  } else if constexpr (N == 32) {
    FILBERT_WGMMA_OF(32, FILBERT_L16, "16", "17", FILBERT_R16(0));
  } else if constexpr (N == 64) {
    FILBERT_WGMMA_OF(64, FILBERT_L32, "32", "33", FILBERT_R32(0));
  } else if constexpr (N == 128) {
    FILBERT_WGMMA_OF(128, FILBERT_L64, "64", "65", FILBERT_R32(0), FILBERT_R32(32));
  } else if constexpr (N == 192) {
    FILBERT_WGMMA_OF(192, FILBERT_L96, "96", "97", FILBERT_R32(0), FILBERT_R32(32), FILBERT_R32(64));
  } else {
    static_assert(N == 256);
    FILBERT_WGMMA_OF(256, FILBERT_L128, "128", "129", FILBERT_R32(0), FILBERT_R32(32), FILBERT_R32(64),
                     FILBERT_R32(96));
  }
}

}  // namespace filbert::cuda

#endif
