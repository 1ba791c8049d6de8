#include "cpu/attention.h"

#include "cpu/attention_shares.h"

namespace filbert::cpu {

void run_attention(filbert_context& context, const filbert_attention_args& args) {
  const AttentionKernel& kernel = context.attention;
  const AttentionShares shares(args, kernel.put_heads != nullptr);
  shares.run(context.pool, kernel.scratch(shares.most_keys(), args.head_size),
             [&](const AttentionTask& task, std::size_t) { kernel.run(task); });
}

}  // namespace filbert::cpu
