#define FILBERT_ISA amx

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/amx_impl.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/attention_impl.h"
#include "cpu/kernel_sets.h"
#include "cpu/linear_impl.h"

namespace filbert::cpu {
namespace amx {
namespace {

using Attention = Bf16Attention<Bf16, 2 * kSide>;

template <typename Rows>
void linear_on_tiles(const LinearTask& task, std::size_t row_begin, std::size_t row_end, std::size_t panel_begin,
                     std::size_t panel_end, float* scratch) {
  const TileScope tiles;
  linear<Rows>(task, row_begin, row_end, panel_begin, panel_end, scratch);
}

void attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention<Attention>(task);
}

template <typename Rows>
constexpr LinearKernel kernel() {
  return {Rows::kFormat, Rows::scratch, linear_on_tiles<Rows>};
}

}  // namespace
}  // namespace amx

LinearKernel amx_i8_kernels() { return amx::kernel<amx::I8Rows<amx::I8>>(); }

Bf16Kernels amx_bf16_kernels() {
  return {amx::kernel<amx::Bf16Rows<amx::Bf16>>(), {amx::attention_scratch<amx::Attention>, amx::attention_on_tiles}};
}

}  // namespace filbert::cpu
