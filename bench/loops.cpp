#include "loops.h"

#include <array>
#include <bit>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace filbert::bench {

#if defined(__x86_64__)
namespace {

enum class Type { f32, bf16, i8 };

// 4 KB, aligned to 64 bytes. Floats lie between 0.5 and 2, of either sign.
template <Type type>
const char* random_operands() {
  alignas(64) static const std::array<std::uint32_t, 1024> words = [] {
    std::array<std::uint32_t, 1024> made;
    std::uint32_t state = 1;
    for (std::uint32_t& word : made) {
      state = state * 1664525u + 1013904223u;
      const std::uint32_t bits = state ^ (state >> 15);
      word = type == Type::i8     ? bits
             : type == Type::bf16 ? (bits & 0x80ff80ffu) | 0x3f003f00u
                                  : (bits & 0x80ffffffu) | 0x3f000000u;
    }
    return made;
  }();
  return std::bit_cast<const char*>(words.data());
}

constexpr int kSums = 12;  // 2 a cycle for up to 6 cycles; with the operands they fit 16 registers

// clang-format off
// In assembly from end to end: around intrinsics of VNNI, compilers copy and spill sums that would have fitted.
// `code` adds register 0 times register `by` to the sum in register `sum`, and may use register 3.
#define FILBERT_LOOP(name, type, register, code)                                                                     \
  void name(long rounds) {                                                                                           \
    __asm__ volatile(                                                                                              \
        "vmovups (%1), %%" register "0\n vmovups 64(%1), %%" register "1\n vmovups 128(%1), %%" register "2\n"     \
        ".irp sum, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n vpxor %%xmm\\sum, %%xmm\\sum, %%xmm\\sum\n .endr\n" \
        "1:\n"                                                                                                     \
        ".irp sum, 4, 5, 6, 7, 8, 9\n" code("1") "\n.endr\n"                                                      \
        ".irp sum, 10, 11, 12, 13, 14, 15\n" code("2") "\n.endr\n"                                                \
        "dec %0\n jnz 1b\n vzeroupper"                                                                             \
        : "+r"(rounds)                                                                                             \
        : "r"(random_operands<type>())                                                                             \
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"); \
  }
// clang-format on
#define FMA_256(by) "vfmadd231ps %%ymm" by ", %%ymm0, %%ymm\\sum"
#define FMA_512(by) "vfmadd231ps %%zmm" by ", %%zmm0, %%zmm\\sum"
#define BF16_512(by) "vdpbf16ps %%zmm" by ", %%zmm0, %%zmm\\sum"
#define VNNI_256(by) "%{vex%} vpdpbusd %%ymm" by ", %%ymm0, %%ymm\\sum"
#define VNNI_512(by) "vpdpbusd %%zmm" by ", %%zmm0, %%zmm\\sum"
#define MADD_256(by) "vpmaddwd %%ymm" by ", %%ymm0, %%ymm3\n vpaddd %%ymm3, %%ymm\\sum, %%ymm\\sum"
#define MADD_512(by) "vpmaddwd %%zmm" by ", %%zmm0, %%zmm3\n vpaddd %%zmm3, %%zmm\\sum, %%zmm\\sum"

FILBERT_LOOP(fma_256, Type::f32, "ymm", FMA_256)
FILBERT_LOOP(fma_512, Type::f32, "zmm", FMA_512)
FILBERT_LOOP(bf16_512, Type::bf16, "zmm", BF16_512)
FILBERT_LOOP(vnni_256, Type::i8, "ymm", VNNI_256)
FILBERT_LOOP(vnni_512, Type::i8, "zmm", VNNI_512)
FILBERT_LOOP(madd_256, Type::i8, "ymm", MADD_256)
FILBERT_LOOP(madd_512, Type::i8, "zmm", MADD_512)

// clang-format off
#define FILBERT_TILE_ROW(register, at, first, second)                                          \
  "vbroadcastss " at "(%1), %%" register "2\n"                                                 \
  "vfmadd231ps %%" register "0, %%" register "2, %%" register first "\n"                       \
  "vfmadd231ps %%" register "1, %%" register "2, %%" register second "\n"
#define FILBERT_TILE(name, register)                                                           \
  void name(long rounds) {                                                                     \
    __asm__ volatile(                                                                          \
        ".irp sum, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n vpxor %%xmm\\sum, %%xmm\\sum, %%xmm\\sum\n .endr\n" \
        "1:\n"                                                                                 \
        "vmovups (%1), %%" register "0\n vmovups 64(%1), %%" register "1\n"                   \
        FILBERT_TILE_ROW(register, "256", "4", "5") FILBERT_TILE_ROW(register, "260", "6", "7")       \
        FILBERT_TILE_ROW(register, "264", "8", "9") FILBERT_TILE_ROW(register, "268", "10", "11")     \
        FILBERT_TILE_ROW(register, "272", "12", "13") FILBERT_TILE_ROW(register, "276", "14", "15")   \
        "dec %0\n jnz 1b\n vzeroupper"                                                         \
        : "+r"(rounds)                                                                         \
        : "r"(random_operands<Type::f32>())                                                    \
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",  \
          "xmm12", "xmm13", "xmm14", "xmm15");                                                 \
  }
// clang-format on
FILBERT_TILE(tile_256, "ymm")
FILBERT_TILE(tile_512, "zmm")

__attribute__((target("amx-tile"))) void load_tiles(const char* operands) {
  struct alignas(64) {
    std::uint8_t palette = 1;
    std::uint8_t rest[15] = {};
    std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } static const config;
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, operands, 64);
  _tile_loadd(5, operands + 1024, 64);
  _tile_loadd(6, operands + 2048, 64);
  _tile_loadd(7, operands + 3072, 64);
}
__attribute__((target("amx-tile,amx-bf16"))) void bf16_tiles(long rounds) {
  load_tiles(random_operands<Type::bf16>());
  for (long i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
__attribute__((target("amx-tile,amx-int8"))) void int8_tiles(long rounds) {
  load_tiles(random_operands<Type::i8>());
  for (long i = 0; i < rounds; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}

}  // namespace

Loops loops_of(const std::string& isa) {
  const auto vectors = [](double numbers, void (*run)(long)) { return Loop{kSums * 2 * numbers, run}; };
  if (isa == "scalar") return {};
  const Loop tile = vectors(8, tile_256);
  if (isa == "avx2") return {vectors(8, fma_256), {}, vectors(16, madd_256), tile};
  if (isa == "avx_vnni") return {vectors(8, fma_256), {}, vectors(32, vnni_256), tile};
  Loops loops = {
      vectors(16, fma_512), {}, isa == "avx512" ? vectors(32, madd_512) : vectors(64, vnni_512), vectors(16, tile_512)};
  if (isa == "avx512_bf16") loops.bf16 = vectors(32, bf16_512);
  if (isa == "amx") {
    constexpr double kTiles = 4 * 2 * 16 * 16;
    loops.bf16 = {kTiles * 32, bf16_tiles};
    loops.int8 = {kTiles * 64, int8_tiles};
  }
  return loops;
}

#else

Loops loops_of(const std::string&) { return {}; }

#endif

}  // namespace filbert::bench
