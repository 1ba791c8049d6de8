// Splits attention over the threads: by heads that share their keys, and by tokens.
#pragma once

#include <algorithm>

#include "cpu/context.h"

namespace filbert::cpu {

class AttentionShares {
 public:
  // Queries of one share. Its keys and values go into panels once, so more is cheaper; fewer balances better.
  static constexpr std::size_t kQueries = 128;

  // by_head: the kernel has put_heads.
  AttentionShares(const filbert_attention_args& args, bool by_head)
      : args_(args),
        batch_(*args.batch),
        group_(args.heads / args.kv_heads),
        relative_(args.causal || args.window > 0 || args.bias),
        by_head_(by_head) {}

  // The most keys that the queries of a share see.
  std::size_t most_keys() const {
    if (args_.window == 0) return batch_.max_length;
    return std::min(batch_.max_length, kQueries + 2 * args_.window + 2 * kKeyBlock);
  }

  // body(task, head) for every share: queries of one sequence, and heads from `head` on.
  template <typename Body>
  void run(ThreadPool& pool, std::size_t scratch, const Body& body) const {
    if (args_.rows != FILBERT_ROWS_ALL) {
      pool.run(batch_.sequences * args_.kv_heads, scratch,
               [&](std::size_t share, float* own) { one(share % args_.kv_heads, share / args_.kv_heads, own, body); });
      return;
    }
    const auto tokens = static_cast<std::size_t>(batch_.cu_seqlens[batch_.sequences]);
    const std::size_t shares = (tokens + kQueries - 1) / kQueries;
    pool.run(shares * args_.kv_heads, scratch, [&](std::size_t share, float* own) {
      const std::size_t begin = share / args_.kv_heads * kQueries;
      some(share % args_.kv_heads, begin, std::min(tokens, begin + kQueries), own, body);
    });
  }

  // From a row on, and from a head, `column` after the first of them.
  HeadRows rows_of(const filbert_heads& heads, std::size_t row, std::size_t column) const {
    const std::size_t first = heads.column + column, size = args_.head_size;
    if (!by_head_) return {static_cast<const float*>(heads.x) + row * heads.width + first, heads.width, size};
    return {static_cast<const std::uint16_t*>(heads.x) + first * heads.rows + row * size, size, heads.rows * size};
  }

 private:
  struct Sequence {
    std::size_t first, end, first_key, end_key;
  };

  // The one query of sequence s.
  template <typename Body>
  void one(std::size_t kv_head, std::size_t s, float* scratch, const Body& body) const {
    const Sequence of = sequence(s);
    if (of.first == of.end) return;
    const std::size_t query = args_.rows == FILBERT_ROWS_FIRST ? of.first : of.end - 1;
    body(task(kv_head, s, query, query + 1, s, scratch), kv_head * group_);
  }

  // The queries among tokens [begin, end), which may touch several sequences.
  template <typename Body>
  void some(std::size_t kv_head, std::size_t begin, std::size_t end, float* scratch, const Body& body) const {
    const std::int32_t* last = batch_.cu_seqlens + batch_.sequences;
    const std::int32_t* bound = std::upper_bound(batch_.cu_seqlens, last, static_cast<std::int32_t>(begin));
    for (auto s = static_cast<std::size_t>(bound - batch_.cu_seqlens) - 1; begin < end; ++s) {
      const std::size_t stop = std::min(end, sequence(s).end);
      if (begin < stop) body(task(kv_head, s, begin, stop, begin, scratch), kv_head * group_);
      begin = stop;
    }
  }

  Sequence sequence(std::size_t s) const {
    const auto first = static_cast<std::size_t>(batch_.cu_seqlens[s]);
    const auto end = static_cast<std::size_t>(batch_.cu_seqlens[s + 1]);
    return {first, end, batch_.key_begin ? static_cast<std::size_t>(batch_.key_begin[s]) : first,
            batch_.key_end ? static_cast<std::size_t>(batch_.key_end[s]) : end};
  }

  // Queries [begin, end), tokens of sequence s, whose results are rows from `row` on.
  AttentionTask task(std::size_t kv_head, std::size_t s, std::size_t begin, std::size_t end, std::size_t row,
                     float* scratch) const {
    const Sequence of = sequence(s);
    const std::size_t head = kv_head * group_;
    const std::size_t width = args_.heads * args_.head_size;
    AttentionTask task = {};
    task.q = rows_of(args_.q, begin, head * args_.head_size);
    task.k = rows_of(args_.k, of.first_key, kv_head * args_.head_size);
    task.v = rows_of(args_.v, of.first_key, kv_head * args_.head_size);
    task.heads = group_;
    task.queries = end - begin;
    task.keys = of.end_key - of.first_key;
    task.head_size = args_.head_size;
    task.scale = args_.scale;
    task.out = {static_cast<float*>(args_.out) + row * width + head * args_.head_size, width};
    task.scratch = scratch;
    task.first_query = static_cast<std::ptrdiff_t>(begin) - static_cast<std::ptrdiff_t>(of.first_key);
    if (batch_.columns) {  // plain attention may have none
      task.query_columns = batch_.columns + begin;
      task.key_columns = batch_.columns + of.first_key;
    }
    if (relative_) relate(task, head);
    if (args_.probabilities) {
      const std::size_t length = of.end - of.first;
      const std::size_t line = head * length + begin - of.first;
      task.probabilities =
          args_.probabilities + args_.probability_offsets[s] + line * length + (of.first_key - of.first);
      task.probability_stride = length;
      task.probability_head_stride = length * length;
    }
    return task;
  }

  void relate(AttentionTask& task, std::size_t head) const {
    task.relative = true;
    task.causal = args_.causal != 0;
    task.window = static_cast<std::int64_t>(args_.window);
    task.reach = static_cast<std::int64_t>(args_.bias_reach);
    if (args_.bias) task.bias = floats_of(args_.bias) + head * (2 * args_.bias_reach + 1) + args_.bias_reach;
  }

  const filbert_attention_args& args_;
  const filbert_batch& batch_;
  std::size_t group_;
  bool relative_;
  bool by_head_;
};

}  // namespace filbert::cpu
