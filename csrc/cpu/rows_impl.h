// The token ops other than linear ones.
#pragma once

#include "cpu/embed_impl.h"
#include "cpu/multiply_impl.h"
#include "cpu/norm_impl.h"
#include "cpu/rope_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

inline bool run_rows(const filbert_token_op& op, std::size_t begin, std::size_t end, Strided<const float> x,
                     Strided<float> out) {
  switch (op.kind) {
    case FILBERT_EMBED:
      embed(op.args.embed, begin, end, out);
      return true;
    case FILBERT_NORM:
      norm(op.args.norm, begin, end, x, out);
      return true;
    case FILBERT_HEAD_NORM:
      norm_heads(op.args.head_norm, end - begin, out);
      return true;
    case FILBERT_ROPE:
      rope(op.args.rope, begin, end, out);
      return true;
    case FILBERT_MULTIPLY:
      multiply(op.args.multiply, begin, end, x, out);
      return true;
    case FILBERT_LINEAR:
      break;
  }
  return false;
}

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
