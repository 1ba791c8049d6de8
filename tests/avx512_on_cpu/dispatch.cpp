// In the place of csrc/cpu/dispatch.cpp: the sets of kernels for AVX-512 and AMX, and the scalar loops.
#include "cpu/dispatch.h"

#include <cstdlib>

#include "cpu/kernel_sets.h"

namespace filbert::cpu {
namespace {

void set_bf16(Kernels& kernels, const Bf16Kernels& bf16) {
  kernels.multiplies_bf16 = true;
  kernels.bf16 = bf16.linear;
  kernels.fast_attention = bf16.attention;
}

}  // namespace

const std::vector<Kernels>& available_kernels() {
  static const std::vector<Kernels> kernels = [] {
    Kernels plain = avx512_kernels();
    Kernels newer = plain;
    newer.isa = "avx512_bf16";
    newer.i8 = avx512_vnni_i8_kernels();
    set_bf16(newer, avx512_bf16_kernels());
    Kernels amx = plain;
    amx.isa = "amx";
    amx.f32 = amx_f32_kernels();
    amx.attention = amx_f32_attention_kernels();
    amx.i8 = amx_i8_kernels();
    set_bf16(amx, amx_bf16_kernels());
    return std::vector<Kernels>{amx, newer, plain, scalar_kernels()};
  }();
  return kernels;
}

const Kernels* select_kernels(std::string& error) {
  const char* forced = std::getenv("FILBERT_CPU_ISA");
  for (const Kernels& kernels : available_kernels())
    if (!forced || std::string(kernels.isa) == forced) return &kernels;
  error = "there is no " + std::string(forced);
  return nullptr;
}

std::string processor_name() { return "a processor with AVX-512 and tiles"; }

}  // namespace filbert::cpu
