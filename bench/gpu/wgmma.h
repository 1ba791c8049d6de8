// The few Hopper instructions that probe.cu tries, as inline functions.
#pragma once

#include <cstdint>

__device__ __forceinline__ std::uint32_t shared_of(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }

// Of a K-major tile in core matrices (8 rows of 16 bytes each, one after the other), without a swizzle: `along_k` and
// `along_rows` are the bytes from one core matrix to the next.
__device__ __forceinline__ std::uint64_t matrix(const void* begin, std::uint32_t along_k, std::uint32_t along_rows) {
  const auto field = [](std::uint64_t bytes) { return (bytes & 0x3ffff) >> 4; };
  return field(shared_of(begin)) | field(along_k) << 16 | field(along_rows) << 32;
}

// wgmma of 64 x N x 16; N / 2 sums a thread. The register lists are what the macros below spell out.
#define R4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define R16(i) R4(i), R4(i + 4), R4(i + 8), R4(i + 12)
#define R32(i) R16(i), R16(i + 16)
#define WGMMA(n, type, list, a, b, ...)                                                                   \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" list "}, %" a ", %" b \
               ", 1, 1, 1, 0, 0;"                                                                         \
               : __VA_ARGS__                                                                              \
               : "l"(x), "l"(w))
#define L4 "%0,%1,%2,%3"
#define L8 L4 ",%4,%5,%6,%7"
#define L16 L8 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define L32 L16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define L64                                                                                                       \
  L32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57," \
      "%58,%59,%60,%61,%62,%63"
#define L128                                                                                                      \
  L64 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89," \
      "%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112," \
      "%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

template <int N, bool Bf16 = true>
__device__ __forceinline__ void wgmma(float (&d)[N / 2], std::uint64_t x, std::uint64_t w) {
  if constexpr (N == 8)
    WGMMA(8, "bf16", L4, "4", "5", R4(0));
  else if constexpr (N == 16)
    WGMMA(16, "bf16", L8, "8", "9", R4(0), R4(4));
  else if constexpr (N == 32)
    WGMMA(32, "bf16", L16, "16", "17", R16(0));
  else if constexpr (N == 64 && Bf16)
    WGMMA(64, "bf16", L32, "32", "33", R32(0));
  else if constexpr (N == 64)
    WGMMA(64, "f16", L32, "32", "33", R32(0));
  else if constexpr (N == 128)
    WGMMA(128, "bf16", L64, "64", "65", R32(0), R32(32));
  else
    WGMMA(256, "bf16", L128, "128", "129", R32(0), R32(32), R32(64), R32(96));
}
