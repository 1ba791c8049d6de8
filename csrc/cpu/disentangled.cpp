// Attention with terms for positions: what its kernel is told beyond the shares that attention has, too.
#include "cpu/attention.h"
#include "cpu/attention_shares.h"

namespace filbert::cpu {
namespace {

// Rows by distance, of which 0 is in the middle.
class RowsByDistance {
 public:
  explicit RowsByDistance(const filbert_disentangled_args& args)
      : reach_(static_cast<std::int64_t>(args.reach)), middle_(floats_of(args.rows) + args.reach) {}

  const float* middle() const { return middle_; }
  // How many there are from the first row that is named up to so far away to the last; some in between may have no
  // name.
  std::size_t count(std::size_t distance) const {
    const std::int64_t at = std::min(static_cast<std::int64_t>(distance), reach_);
    return static_cast<std::size_t>(middle_[at] - middle_[-at]) + 1;
  }
  // The last distance in the direction of `step` up to which every row is beside the one before it.
  std::int64_t last_neighbour(std::int64_t step) const {
    std::int64_t at = 0;
    while (at != step * reach_ && middle_[at + step] == middle_[at] + static_cast<float>(step)) at += step;
    return at;
  }

 private:
  std::int64_t reach_;
  const float* middle_;
};

// The most columns that a sequence stretches over.
std::size_t most_columns(const filbert_batch& batch) {
  std::size_t most = 1;
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    if (batch.cu_seqlens[s] == batch.cu_seqlens[s + 1]) continue;
    const std::int32_t last = batch.columns[batch.cu_seqlens[s + 1] - 1];
    most = std::max(most, static_cast<std::size_t>(last - batch.columns[batch.cu_seqlens[s]]) + 1);
  }
  return most;
}

}  // namespace

void run_disentangled(filbert_context& context, const filbert_disentangled_args& args) {
  const filbert_attention_args& attention = args.attention;
  const AttentionKernel& kernel = context.attention;
  const AttentionShares shares(attention, kernel.put_heads != nullptr);
  const RowsByDistance rows(args);
  const std::size_t farthest = most_columns(*attention.batch) - 1;
  const std::size_t queries = attention.rows == FILBERT_ROWS_ALL ? AttentionShares::kQueries : 1;
  const std::size_t scratch =
      kernel.disentangled_scratch({std::min(queries, attention.batch->max_length), shares.most_keys(), 2 * farthest + 1,
                                   rows.count(farthest), attention.head_size});
  const std::int64_t near_first = rows.last_neighbour(-1), near_last = rows.last_neighbour(1);
  shares.run(context.pool, scratch, [&](const AttentionTask& task, std::size_t head) {
    const auto table = [&](const filbert_heads& heads) {
      return heads.x ? shares.rows_of(heads, 0, head * attention.head_size) : HeadRows{};
    };
    kernel.run_disentangled({task, table(args.position_k), table(args.position_q), rows.middle(),
                             static_cast<std::int64_t>(args.reach), near_first, near_last});
  });
}

}  // namespace filbert::cpu
