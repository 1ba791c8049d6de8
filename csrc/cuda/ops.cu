// The ops of the op table: each is a kernel or two on the stream.
#include <algorithm>
#include <climits>

#include "cuda/backend.h"
#include "cuda/context.h"
#include "cuda/experts.h"
#include "cuda/row_ops.h"
#include "cuda/weight.h"

namespace filbert::cuda {
namespace {

Chip chip_of(const filbert_context& context) {
  const cudaDeviceProp& properties = context.device.properties();
  return {properties.multiProcessorCount, properties.sharedMemPerBlockOptin, context.is_sm90};
}

filbert_status run_op(const filbert_context& context, const filbert_token_op& op, std::size_t tokens) {
  cudaError_t error = cudaSuccess;
  if (op.kind == FILBERT_LINEAR) {
    const filbert_linear_args& args = op.args.linear;
    error = linear(context.type,
                   {args.x, args.weight->data, floats_of(args.bias), args.residual, args.activation, tokens,
                    args.weight->rows, args.weight->cols, args.out, args.weight->gated},
                   chip_of(context), context.stream);
  } else if (!row_op(context.type, op, tokens, context.stream, error)) {
    return fail(FILBERT_FAILED, "there is no op of kind " + std::to_string(static_cast<int>(op.kind)));
  }
  return check(error, kRunning);
}

filbert_status token_ops(filbert_context* context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  return on_stream(*context, [&] {
    filbert_status status = FILBERT_OK;
    for (std::size_t i = 0; i < count && status == FILBERT_OK; ++i) {
      const bool next_alone = ops[i].readers == FILBERT_NEXT_ALONE && i + 1 < count;
      if (ops[i].kind == FILBERT_EMBED && next_alone && ops[i + 1].kind == FILBERT_NORM &&
          !ops[i + 1].args.norm.residual) {
        // The sums are read by the norm alone, and never written.
        status = check(embed_norm(context->type, ops[i].args.embed, ops[i + 1].args.norm, tokens, context->stream),
                       kRunning);
        ++i;
      } else {
        status = run_op(*context, ops[i], tokens);
      }
    }
    return status;
  });
}

// No distance between columns, which are 32-bit numbers, is larger.
std::int32_t clipped(std::size_t distance) {
  return static_cast<std::int32_t>(std::min<std::size_t>(distance, INT_MAX));
}

constexpr std::size_t kLargestHead = 256;  // for which there are kernels

// Runs body(Attention) on the stream.
template <typename Body>
filbert_status attend(filbert_context& context, const filbert_attention_args& args, const Body& body) {
  if (args.head_size > kLargestHead)
    return fail(FILBERT_UNAVAILABLE, "attention has heads of at most " + std::to_string(kLargestHead) +
                                         " numbers, not the " + std::to_string(args.head_size) + " of this model");
  return on_stream(context, kRunning, [&] {
    return body(Attention{*args.batch, args.q, args.k, args.v, args.heads, args.kv_heads, args.head_size, args.scale,
                          args.causal != 0, clipped(args.window), floats_of(args.bias), clipped(args.bias_reach),
                          args.rows, args.out, args.probabilities, args.probability_offsets});
  });
}

filbert_status run_attention(filbert_context* context, const filbert_attention_args* args) {
  return attend(*context, *args,
                [&](const Attention& task) { return attention(context->type, task, context->stream); });
}

filbert_status run_disentangled(filbert_context* context, const filbert_disentangled_args* args) {
  return attend(*context, args->attention, [&](const Attention& task) {
    return disentangled_attention(
        context->type, {task, args->position_k, args->position_q, floats_of(args->rows), clipped(args->reach)},
        context->stream);
  });
}

filbert_status run_neighbours(filbert_context* context, const filbert_neighbours_args* args) {
  return on_stream(*context, kRunning, [&] {
    return neighbours(context->type, {*args->batch, args->x, args->width, clipped(args->reach), args->out},
                      context->stream);
  });
}

std::size_t memory_of_experts(filbert_context* context, const filbert_experts_args* args) {
  return experts_memory(context->type, *args);
}

filbert_status run_experts(filbert_context* context, const filbert_experts_args* args) {
  return on_stream(*context, kRunning,
                   [&] { return experts(context->type, *args, chip_of(*context), context->stream); });
}

filbert_status run_gather(filbert_context* context, const filbert_gather_args* args) {
  return on_stream(*context, kRunning, [&] {
    return gather(context->type, {args->x, args->rows, args->count, args->width, args->out}, context->stream);
  });
}

filbert_status run_pool(filbert_context* context, const filbert_pool_args* args) {
  return on_stream(*context, kRunning, [&] {
    return pool(context->type,
                {args->x, args->batch->cu_seqlens, args->batch->sequences, args->width, args->pooling,
                 args->normalize != 0, args->out},
                context->stream);
  });
}

}  // namespace

void add_ops(filbert_backend& table) {
  table.token_ops = token_ops;
  table.attention = run_attention;
  table.disentangled_attention = run_disentangled;
  table.neighbours = run_neighbours;
  table.experts_memory = memory_of_experts;
  table.experts = run_experts;
  table.gather = run_gather;
  table.pool = run_pool;
}

}  // namespace filbert::cuda
