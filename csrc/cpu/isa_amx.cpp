#define FILBERT_ISA amx

#include "cpu/vec_avx512.h"
// The kernels are written over the types above and here.
#include "cpu/amx_impl.h"
#include "cpu/math_impl.h"
// These use the above.
#include "cpu/amx_f32.h"
#include "cpu/amx_f32_attention.h"
#include "cpu/amx_linear.h"
#include "cpu/disentangled_impl.h"
#include "cpu/kernel_sets.h"

namespace filbert::cpu {
namespace amx {
namespace {

using Attention = Bf16Attention<Bf16, kTwo>;

template <typename Linear>
void linear_on_tiles(const LinearTask& task, std::size_t panel_begin, std::size_t panel_end, float* scratch) {
  const TileScope tiles(task.rows);
  Linear(task, scratch).run(panel_begin, panel_end);
}

void attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention<Attention>(task);
}

void f32_attention_on_tiles(const AttentionTask& task) {
  const TileScope tiles;
  attention_in_parts(task);
}

void disentangled_on_tiles(const DisentangledTask& task) {
  const TileScope tiles;
  disentangled<Attention>(task);
}

template <typename Linear, typename Rows>
constexpr LinearKernel kernel(decltype(LinearKernel::sums) sums) {
  return {
      .format = Linear::kFormat,
      .share_rows = 192,
      .thread_rows = 128,
      .row_grain = kTwo,
      .gives_operands = Rows::kGivesOperands,
      .operand = Rows::operand,
      .pack = Rows::pack,
      .scratch = Linear::scratch,
      .run = linear_on_tiles<Linear>,
      .sums = sums,
  };
}

using TiledBf16 = TiledLinear<Bf16Rows<Bf16>>;
using TiledI8 = TiledLinear<I8Rows<I8>>;

}  // namespace
}  // namespace amx

LinearKernel amx_f32_kernels() { return amx::kernel<amx::PartLinear, amx::PartRows>(nullptr); }

AttentionKernel amx_f32_attention_kernels() {
  return {amx::attention_in_parts_scratch, amx::f32_attention_on_tiles, amx::disentangled_scratch<amx::F32Attention>,
          amx::disentangled<amx::F32Attention>, nullptr};
}

LinearKernel amx_i8_kernels() { return amx::kernel<amx::TiledI8, amx::I8Rows<amx::I8>>(nullptr); }

Bf16Kernels amx_bf16_kernels() {
  return {amx::kernel<amx::TiledBf16, amx::Bf16Rows<amx::Bf16>>(amx::TiledBf16::sums),
          {amx::attention_scratch<amx::Attention>, amx::attention_on_tiles, amx::disentangled_scratch<amx::Attention>,
           amx::disentangled_on_tiles, amx::put_heads}};
}

}  // namespace filbert::cpu
