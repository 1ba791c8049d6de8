#include "cpu/dispatch.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "cpu/kernel_sets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
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

bool has_avx_vnni() { return Cpuid(7, 1).eax & (1u << 4); }

bool has_avx512() {
  constexpr unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  return (saved_state() & 0xe6) == 0xe6 && (Cpuid(7).ebx & needed) == needed;
}

bool has_avx512_vnni() { return Cpuid(7).ecx & bit_AVX512VNNI; }

bool has_avx512_bf16() { return Cpuid(7, 1).eax & (1u << 5); }

// Whether vdpbf16ps is faster than the two multiply-adds in float32 that it stands for. On Intel's processors with AMX,
// where there is one for every four of those (measured), it is not, though a virtual machine may hide their AMX;
// Cooper Lake, family 6 and model 85, came before them.
bool has_fast_avx512_bf16() {
  const Cpuid vendor(0);
  const bool is_intel = vendor.ebx == signature_INTEL_ebx;
  const unsigned version = Cpuid(1).eax;
  const unsigned model = (version >> 4 & 0xf) | (version >> 12 & 0xf0);
  return !is_intel || model == 85;
}

// Bits 17 and 18 of the saved state. Linux lets a process use tiles once it has asked: ARCH_REQ_XCOMP_PERM.
bool has_amx() {
  constexpr unsigned needed = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tiles, int8
  if ((saved_state() & 0x60000) != 0x60000 || (Cpuid(7).edx & needed) != needed) return false;
#if defined(__linux__)
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

#elif defined(__aarch64__)

// The kernel's HWCAP2_I8MM and HWCAP2_BF16, which older headers lack.
constexpr unsigned long kI8mm = 1ul << 13, kBf16 = 1ul << 14;

bool has(unsigned long capability) {
#if defined(__linux__)
  return getauxval(AT_HWCAP2) & capability;
#else
  return false;
#endif
}

#endif

// Worst first: each set takes over what the one before has and it does not better.
std::vector<Kernels> detect() {
  std::vector<Kernels> found = {scalar_kernels()};
#if defined(__x86_64__)
  if (!has_avx2()) return found;
  found.push_back(avx2_kernels());
  if (has_avx_vnni()) {
    Kernels kernels = found.back();
    kernels.isa = "avx_vnni";
    kernels.i8 = avx_vnni_i8_kernels();
    found.push_back(kernels);
  }
  if (!has_avx512()) return found;
  found.push_back(avx512_kernels());
  if (!has_avx512_vnni()) return found;
  Kernels kernels = found.back();
  kernels.isa = "avx512_vnni";
  kernels.i8 = avx512_vnni_i8_kernels();
  found.push_back(kernels);
  if (!has_avx512_bf16()) return found;
  const std::size_t vnni = found.size() - 1;
  const auto set_bf16 = [&kernels](const Bf16Kernels& bf16) {
    kernels.bf16 = bf16.linear;
    kernels.fast_attention = bf16.attention;
  };
  kernels.isa = "avx512_bf16";
  kernels.multiplies_bf16 = true;
  set_bf16(avx512_bf16_kernels());
  found.push_back(kernels);
  if (!has_fast_avx512_bf16()) std::swap(found[vnni], found.back());
  if (!has_amx()) return found;
  kernels.isa = "amx";
  kernels.f32 = amx_f32_kernels();
  kernels.attention = amx_f32_attention_kernels();
  kernels.i8 = amx_i8_kernels();
  set_bf16(amx_bf16_kernels());
  found.push_back(kernels);
#elif defined(__aarch64__)
  found.push_back(neon_kernels());
  if (has(kI8mm)) {
    Kernels kernels = found.back();
    kernels.isa = "neon_i8mm";
    kernels.i8 = neon_i8mm_i8_kernels();
    found.push_back(kernels);
  }
  if (has(kBf16)) {
    Kernels kernels = found.back();
    const Bf16Kernels bf16 = neon_bf16_kernels();
    kernels.isa = "neon_bf16";
    kernels.multiplies_bf16 = true;
    kernels.bf16 = bf16.linear;
    kernels.fast_attention = bf16.attention;
    found.push_back(kernels);
  }
#endif
  return found;
}

}  // namespace

// Made by whoever comes first, without a lock that a fork could leave locked, and never destroyed: threads may still
// run while the process ends.
const std::vector<Kernels>& available_kernels() {
  static std::atomic<const std::vector<Kernels>*> known{nullptr};
  if (const auto* kernels = known.load(std::memory_order_acquire)) return *kernels;
  std::vector<Kernels> found = detect();
  std::reverse(found.begin(), found.end());
  auto made = std::make_unique<const std::vector<Kernels>>(std::move(found));
  const std::vector<Kernels>* first = nullptr;
  return known.compare_exchange_strong(first, made.get()) ? *made.release() : *first;
}

const Kernels* select_kernels(std::string& error) {
  const char* forced = std::getenv("FILBERT_CPU_ISA");
  if (!forced || !*forced) return &available_kernels().front();
  std::string names;
  for (const Kernels& kernels : available_kernels()) {
    if (std::strcmp(kernels.isa, forced) == 0) return &kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels.isa);
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
