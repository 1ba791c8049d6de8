// What the processor can do at most, measured: loops on registers alone of the instructions that the kernels use, on
// random numbers, since tiles of zeros are a fifth faster than what multiplies real ones.
#pragma once

#include <string>

namespace filbert::bench {

struct Peaks {
  double fp32_gflops = 0;  // a multiply-add is two
  double bf16_gflops = 0;  // of the fastest instruction for it; 0 where there is none
  double int8_gops = 0;
  double read_gbps = 0;  // from memory, or from a cache larger than 400 MB
};

// The best of several runs on `threads` threads; isa as FILBERT_CPU_ISA names them.
Peaks measure_peaks(const std::string& isa, int threads);

}  // namespace filbert::bench
