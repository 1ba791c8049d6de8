// The loop of a tile of up to 6 rows and two vectors, in assembly, four words a step. That of a compiler has three or
// four more instructions a word, for pointers and prefetches: little on a quiet core, a sixth of the time on one whose
// other thread is busy.
#pragma once

#include "cpu/bf16_impl.h"
#include "cpu/i8_madd_avx2.h"
#include "cpu/matmul_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Of the assembly. Sums are in registers 0 to 11, two for each row, columns in 12 and 13; 14 and 15 are free, but for
// what BEFORE puts there. Rows are at a, a + lda, ...; d is a + 3 lda. WORD is what is done for word \i of a step, of
// so many bytes in a row and in b; after each of a step, or after the last one, a line of what is needed next is
// prefetched.
// clang-format off
#define FILBERT_FETCH(if_fetches)                                                                              \
  ".if %c[fetches] " if_fetches "\n"                                                                           \
  "prefetcht1 (%[next])\n"                                                                                     \
  "add %[bytes],%[next]\n"                                                                                     \
  ".endif\n"

#define FILBERT_TILE_LOOP(BEFORE, WORD, bytes_of_a, bytes_of_b)                                                \
  const void* d = static_cast<const char*>(at.a) + 3 * at.lda;                                                 \
  __asm__ volatile(                                                                                            \
      BEFORE                                                                                                   \
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n"                                                                     \
      "vpxor %%ymm\\i,%%ymm\\i,%%ymm\\i\n"                                                                     \
      ".endr\n"                                                                                                \
      ".p2align 5\n"                                                                                           \
      "1:\n"                                                                                                   \
      ".irp i,0,1,2,3\n" WORD FILBERT_FETCH("> 1")  ".endr\n"                                                  \
      "add $4*" bytes_of_a ",%[a]\n"                                                                           \
      "add $4*" bytes_of_a ",%[d]\n"                                                                           \
      "add $4*" bytes_of_b ",%[b]\n"                                                                           \
      FILBERT_FETCH("== 1")                                                                                    \
      "dec %[count]\n"                                                                                         \
      "jnz 1b\n"                                                                                               \
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n"                                                                     \
      "vmovups %%ymm\\i,32*\\i(%[sums])\n"                                                                     \
      ".endr\n"                                                                                                \
      : [a] "+r"(at.a), [d] "+r"(d), [b] "+r"(at.b), [next] "+r"(at.next), [count] "+r"(at.count)              \
      : [lda] "r"(at.lda), [bytes] "r"(at.bytes), [sums] "r"(sums), [rows] "i"(Rows), [fetches] "i"(Fetches)   \
      : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",        \
        "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

#define FILBERT_TILE_ROWS(ROW, at)                                                                             \
  ROW(at "(%[a])", "0", "1")                                                                                   \
  ".if %c[rows] > 1\n" ROW(at "(%[a],%[lda])", "2", "3") ".endif\n"                                            \
  ".if %c[rows] > 2\n" ROW(at "(%[a],%[lda],2)", "4", "5") ".endif\n"                                          \
  ".if %c[rows] > 3\n" ROW(at "(%[d])", "6", "7") ".endif\n"                                                   \
  ".if %c[rows] > 4\n" ROW(at "(%[d],%[lda])", "8", "9") ".endif\n"                                            \
  ".if %c[rows] > 5\n" ROW(at "(%[d],%[lda],2)", "10", "11") ".endif\n"

#define FILBERT_FMA_ROW(at, first, second)                                                                     \
  "vbroadcastss " at ",%%ymm14\n"                                                                              \
  "vfmadd231ps %%ymm12,%%ymm14,%%ymm" first "\n"                                                               \
  "vfmadd231ps %%ymm13,%%ymm14,%%ymm" second "\n"

#define FILBERT_MADD_ROW(at, first, second)                                                                    \
  "vpbroadcastd " at ",%%ymm14\n"                                                                              \
  "vpmaddwd %%ymm12,%%ymm14,%%ymm15\n"                                                                         \
  "vpmaddwd %%ymm13,%%ymm14,%%ymm14\n"                                                                         \
  "vpaddd %%ymm15,%%ymm" first ",%%ymm" first "\n"                                                             \
  "vpaddd %%ymm14,%%ymm" second ",%%ymm" second "\n"
// clang-format on

struct LoopInAssembly {
  static constexpr bool kExists = true;
  static constexpr std::size_t kWords = 4;
};

template <>
struct TileLoop<F32> : LoopInAssembly {
  template <std::size_t Rows, std::size_t Fetches>
  static void run(TileSteps at, Vec* sums) {
    FILBERT_TILE_LOOP("",
                      "vmovups 64*\\i(%[b]),%%ymm12\n"
                      "vmovups 64*\\i+32(%[b]),%%ymm13\n" FILBERT_TILE_ROWS(FILBERT_FMA_ROW, "4*\\i"),
                      "4", "64");
  }
};

// All even numbers of a word, then all odd ones.
template <>
struct TileLoop<WidenedBf16> : LoopInAssembly {
  template <std::size_t Rows, std::size_t Fetches>
  static void run(TileSteps at, Vec* sums) {
    FILBERT_TILE_LOOP(
        "vpcmpeqd %%ymm15,%%ymm15,%%ymm15\n"
        "vpslld $16,%%ymm15,%%ymm15\n",
        "vmovdqu 64*\\i(%[b]),%%ymm12\n"
        "vmovdqu 64*\\i+32(%[b]),%%ymm13\n"
        "vpslld $16,%%ymm12,%%ymm12\n"
        "vpslld $16,%%ymm13,%%ymm13\n"
        FILBERT_TILE_ROWS(FILBERT_FMA_ROW, "8*\\i")
        "vpand 64*\\i(%[b]),%%ymm15,%%ymm12\n"
        "vpand 64*\\i+32(%[b]),%%ymm15,%%ymm13\n"
        FILBERT_TILE_ROWS(FILBERT_FMA_ROW, "8*\\i+4"),
        "8", "64");
  }
};

template <>
struct TileLoop<I8> : LoopInAssembly {
  template <std::size_t Rows, std::size_t Fetches>
  static void run(TileSteps at, Vec* sums) {
    FILBERT_TILE_LOOP("",
                      "vpmovsxbw 32*\\i(%[b]),%%ymm12\n"
                      "vpmovsxbw 32*\\i+16(%[b]),%%ymm13\n" FILBERT_TILE_ROWS(FILBERT_MADD_ROW, "4*\\i"),
                      "4", "32");
  }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
