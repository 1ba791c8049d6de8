// Splits attention over the threads: by heads that share their keys, and by tokens.
#include "cpu/attention.h"

#include <algorithm>

namespace filbert::cpu {
namespace {

// Queries of one share. Its keys and values go into panels once, so more is cheaper; fewer balances better.
constexpr std::size_t kQueries = 128;

struct Sequence {
  std::size_t first, end, first_key;
};

class Attention {
 public:
  Attention(const filbert_context& context, const filbert_attention_args& args)
      : kernel_(context.attention),
        args_(args),
        batch_(*args.batch),
        group_(args.heads / args.kv_heads),
        relative_(args.causal || args.window > 0 || args.bias) {}

  // The most keys that the queries of a share see.
  std::size_t most_keys() const {
    if (args_.window == 0) return batch_.max_length;
    return std::min(batch_.max_length, kQueries + 2 * args_.window + 2 * kKeyBlock);
  }

  // The one query of sequence s.
  void one(std::size_t kv_head, std::size_t s, float* scratch) const {
    const Sequence of = sequence(s);
    if (of.first == of.end) return;
    const std::size_t query = args_.rows == FILBERT_ROWS_FIRST ? of.first : of.end - 1;
    attend(kv_head, s, query, query + 1, s, scratch);
  }

  // The queries among tokens [begin, end), which may touch several sequences.
  void tokens(std::size_t kv_head, std::size_t begin, std::size_t end, float* scratch) const {
    const std::int32_t* last = batch_.cu_seqlens + batch_.sequences;
    const std::int32_t* bound = std::upper_bound(batch_.cu_seqlens, last, static_cast<std::int32_t>(begin));
    for (auto s = static_cast<std::size_t>(bound - batch_.cu_seqlens) - 1; begin < end; ++s) {
      const std::size_t stop = std::min(end, sequence(s).end);
      if (begin < stop) attend(kv_head, s, begin, stop, begin, scratch);
      begin = stop;
    }
  }

 private:
  Sequence sequence(std::size_t s) const {
    const auto first = static_cast<std::size_t>(batch_.cu_seqlens[s]);
    return {first, static_cast<std::size_t>(batch_.cu_seqlens[s + 1]),
            batch_.key_begin ? static_cast<std::size_t>(batch_.key_begin[s]) : first};
  }

  static Heads<const float> rows(const filbert_heads& heads, std::size_t token, std::size_t column) {
    return {static_cast<const float*>(heads.x) + token * heads.width + heads.column + column, heads.width};
  }

  // Queries [begin, end), tokens of sequence s, whose results are rows from `row` on.
  void attend(std::size_t kv_head, std::size_t s, std::size_t begin, std::size_t end, std::size_t row,
              float* scratch) const {
    const Sequence of = sequence(s);
    const std::size_t head = kv_head * group_;
    const std::size_t width = args_.heads * args_.head_size;
    AttentionTask task = {};
    task.q = rows(args_.q, begin, head * args_.head_size);
    task.k = rows(args_.k, of.first_key, kv_head * args_.head_size);
    task.v = rows(args_.v, of.first_key, kv_head * args_.head_size);
    task.heads = group_;
    task.queries = end - begin;
    task.keys = of.end - of.first_key;
    task.head_size = args_.head_size;
    task.scale = args_.scale;
    task.out = {static_cast<float*>(args_.out) + row * width + head * args_.head_size, width};
    task.scratch = scratch;
    if (relative_) relate(task, of, begin, head);
    if (args_.probabilities) {
      const std::size_t length = of.end - of.first;
      const std::size_t line = head * length + begin - of.first;
      task.probabilities =
          args_.probabilities + args_.probability_offsets[s] + line * length + (of.first_key - of.first);
      task.probability_stride = length;
      task.probability_head_stride = length * length;
    }
    kernel_.run(task);
  }

  void relate(AttentionTask& task, const Sequence& of, std::size_t begin, std::size_t head) const {
    task.relative = true;
    task.causal = args_.causal != 0;
    task.first_query = static_cast<std::ptrdiff_t>(begin) - static_cast<std::ptrdiff_t>(of.first_key);
    task.query_columns = batch_.columns + begin;
    task.key_columns = batch_.columns + of.first_key;
    task.window = static_cast<std::int64_t>(args_.window);
    task.reach = static_cast<std::int64_t>(args_.bias_reach);
    if (args_.bias) task.bias = floats_of(args_.bias) + head * (2 * args_.bias_reach + 1) + args_.bias_reach;
  }

  const AttentionKernel& kernel_;
  const filbert_attention_args& args_;
  const filbert_batch& batch_;
  std::size_t group_;
  bool relative_;
};

}  // namespace

void run_attention(filbert_context& context, const filbert_attention_args& args) {
  const Attention attention(context, args);
  const filbert_batch& batch = *args.batch;
  const std::size_t scratch = context.attention.scratch(attention.most_keys(), args.head_size);
  if (args.rows != FILBERT_ROWS_ALL) {
    context.pool.run(batch.sequences * args.kv_heads, scratch, [&](std::size_t task, float* own) {
      attention.one(task % args.kv_heads, task / args.kv_heads, own);
    });
    return;
  }
  const auto tokens = static_cast<std::size_t>(batch.cu_seqlens[batch.sequences]);
  const std::size_t shares = (tokens + kQueries - 1) / kQueries;
  context.pool.run(shares * args.kv_heads, scratch, [&](std::size_t task, float* own) {
    const std::size_t begin = task / args.kv_heads * kQueries;
    attention.tokens(task % args.kv_heads, begin, std::min(tokens, begin + kQueries), own);
  });
}

}  // namespace filbert::cpu
