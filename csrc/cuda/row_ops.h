// The token ops other than linear ones: each has a file of its name, and a case here. Pointers to weights are host
// memory; what they point to is float32 in device memory.
#pragma once

#include "cuda/kernels.h"
#include "cuda/weight.h"

namespace filbert::cuda {

cudaError_t embed(Type, const filbert_embed_args&, std::size_t tokens, cudaStream_t);
// The norm of the sums that `embed` would write, which stay in registers.
cudaError_t embed_norm(Type, const filbert_embed_args&, const filbert_norm_args&, std::size_t tokens, cudaStream_t);
cudaError_t norm(Type, const filbert_norm_args&, std::size_t tokens, cudaStream_t);
cudaError_t head_norm(Type, const filbert_head_norm_args&, std::size_t tokens, cudaStream_t);
cudaError_t rope(Type, const filbert_rope_args&, std::size_t tokens, cudaStream_t);
cudaError_t multiply(Type, const filbert_multiply_args&, std::size_t tokens, cudaStream_t);

// False, and nothing is done, of an op that it does not know.
inline bool row_op(Type type, const filbert_token_op& op, std::size_t tokens, cudaStream_t stream, cudaError_t& error) {
  switch (op.kind) {
    case FILBERT_EMBED:
      error = embed(type, op.args.embed, tokens, stream);
      return true;
    case FILBERT_NORM:
      error = norm(type, op.args.norm, tokens, stream);
      return true;
    case FILBERT_HEAD_NORM:
      error = head_norm(type, op.args.head_norm, tokens, stream);
      return true;
    case FILBERT_ROPE:
      error = rope(type, op.args.rope, tokens, stream);
      return true;
    case FILBERT_MULTIPLY:
      error = multiply(type, op.args.multiply, tokens, stream);
      return true;
    case FILBERT_LINEAR:
      break;
  }
  return false;
}

}  // namespace filbert::cuda
