#include "core/passes.h"

#include <algorithm>

namespace filbert {
namespace {

// Enough rows that the weights, read once a pass, cost little beside the arithmetic; few enough that a pass of
// BERT-base (4 x 768 floats a token at the widest) stays within a large L3.
constexpr std::size_t kTokensPerPass = 1536;

template <typename T>
const T* upload_array(const Ops& ops, Arena& arena, const T* data, std::size_t count) {
  T* device = arena.take<T>(count);
  ops.upload(device, data, count * sizeof(T));
  return device;
}

}  // namespace

Pass next_pass(const PackedTokens& packed, const Pass& last) {
  Pass pass = {last.end, last.end + 1, last.squares_before};
  for (std::size_t s = last.begin; s < last.end; ++s) pass.squares_before += packed.length(s) * packed.length(s);
  const std::size_t limit = packed.cu_seqlens[pass.begin] + kTokensPerPass;
  while (pass.end < packed.sequences() && packed.cu_seqlens[pass.end + 1] <= limit) ++pass.end;
  return pass;
}

Batch upload(const Ops& ops, const Pass& pass, Session& session) {
  const PackedTokens& packed = session.packed;
  const std::size_t first = packed.cu_seqlens[pass.begin];
  Batch batch;
  batch.tokens = packed.cu_seqlens[pass.end] - first;
  batch.sequences = pass.end - pass.begin;
  session.cu_seqlens.clear();
  session.key_begin.clear();
  bool asks = false;
  for (std::size_t s = pass.begin; s < pass.end; ++s) {
    const std::size_t begin = packed.cu_seqlens[s] - first;
    session.cu_seqlens.push_back(static_cast<std::int32_t>(begin));
    session.key_begin.push_back(static_cast<std::int32_t>(begin + packed.asks_first[s]));
    asks |= packed.asks_first[s] != 0;
    batch.max_length = std::max(batch.max_length, packed.length(s));
  }
  session.cu_seqlens.push_back(static_cast<std::int32_t>(batch.tokens));
  Arena& arena = session.arena;
  batch.ids = upload_array(ops, arena, packed.ids.data() + first, batch.tokens);
  batch.types = upload_array(ops, arena, packed.types.data() + first, batch.tokens);
  batch.positions = upload_array(ops, arena, packed.positions.data() + first, batch.tokens);
  batch.cu_seqlens = upload_array(ops, arena, session.cu_seqlens.data(), session.cu_seqlens.size());
  if (asks) batch.key_begin = upload_array(ops, arena, session.key_begin.data(), session.key_begin.size());
  return batch;
}

}  // namespace filbert
