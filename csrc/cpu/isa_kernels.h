// Everything an instruction set implements, over the Vec that was included before this file.
#pragma once

#include "cpu/math_impl.h"
#include "cpu/matmul_impl.h"
// These use the two above.
#include "cpu/attention_impl.h"
#include "cpu/linear_impl.h"
#include "cpu/norm_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

constexpr Kernels kernels_of(const char* isa) {
  return {isa, kWidth, kPanelWidth, linear, attention_scratch, attention, norm, embed_norm, pool};
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
