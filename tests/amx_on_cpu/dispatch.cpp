// In the place of csrc/cpu/dispatch.cpp: the set of AMX kernels, and the scalar loops. The former still need a
// processor with the other instructions that they are compiled for; without them there is nothing to test.
#include "cpu/dispatch.h"

#include <cstdlib>

#include "cpu/kernel_sets.h"

namespace filbert::cpu {

const std::vector<Kernels>& available_kernels() {
  static const std::vector<Kernels> kernels = [] {
    std::vector<Kernels> found;
    if (__builtin_cpu_supports("avx512bf16")) {
      Kernels amx = avx512_kernels();
      const Bf16Kernels bf16 = amx_bf16_kernels();
      amx.isa = "amx";
      amx.f32 = amx_f32_kernels();
      amx.attention = amx_f32_attention_kernels();
      amx.i8 = amx_i8_kernels();
      amx.bf16 = bf16.linear;
      amx.fast_attention = bf16.attention;
      amx.multiplies_bf16 = true;
      found.push_back(amx);
    }
    found.push_back(scalar_kernels());
    return found;
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

std::string processor_name() { return "a processor with tiles"; }

}  // namespace filbert::cpu
