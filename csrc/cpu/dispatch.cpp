#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace filbert::cpu {
namespace {

#if defined(__x86_64__)

struct Cpuid {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  explicit Cpuid(unsigned leaf, unsigned subleaf = 0) { __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); }
};

// The register state that the operating system saves: bits 1-2 for AVX, also 5-7 for AVX-512.
unsigned saved_state() {
  if (!(Cpuid(1).ecx & bit_OSXSAVE)) return 0;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has_avx2() {
  const Cpuid one(1);
  return (saved_state() & 0x06) == 0x06 && (one.ecx & bit_FMA) && (Cpuid(7).ebx & bit_AVX2);
}

bool has_avx512() {
  constexpr unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  return has_avx2() && (saved_state() & 0xe6) == 0xe6 && (Cpuid(7).ebx & needed) == needed;
}

#endif

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  if (has_avx512()) found.push_back(&avx512_kernels());
  if (has_avx2()) found.push_back(&avx2_kernels());
#elif defined(__aarch64__)
  found.push_back(&neon_kernels());
#endif
  found.push_back(&scalar_kernels());
  return found;
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> kernels = detect();
  return kernels;
}

const Kernels* select_kernels(std::string& error) {
  const char* forced = std::getenv("FILBERT_CPU_ISA");
  if (!forced || !*forced) return available_kernels().front();
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (std::strcmp(kernels->isa, forced) == 0) return kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
  }
  error = "FILBERT_CPU_ISA=" + std::string(forced) + " is not available on this processor; it has: " + names;
  return nullptr;
}

std::string processor_name() {
#if defined(__x86_64__)
  if (static_cast<unsigned>(__get_cpuid_max(0x80000000, nullptr)) < 0x80000004u) return "x86-64 processor";
  char name[49] = {};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    const Cpuid part(0x80000002 + leaf);
    const unsigned words[4] = {part.eax, part.ebx, part.ecx, part.edx};
    std::memcpy(name + 16 * leaf, words, 16);
  }
  std::string text = name;
  const std::size_t begin = text.find_first_not_of(' ');
  const std::size_t end = text.find_last_not_of(' ');
  return begin == std::string::npos ? "x86-64 processor" : text.substr(begin, end - begin + 1);
#elif defined(__aarch64__)
  return "AArch64 processor";
#else
  return "processor";
#endif
}

}  // namespace filbert::cpu
