// Which kernels this processor can run, and which one is used.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace filbert::cpu {

// Best first; scalar is always the last.
const std::vector<Kernels>& available_kernels();

// The best, or the one that FILBERT_CPU_ISA names. Null, with the reason in `error`, if that one is not available.
const Kernels* select_kernels(std::string& error);

// The processor's own name, for people.
std::string processor_name();

}  // namespace filbert::cpu
