#include "core/passes.h"

#include <algorithm>

namespace filbert {

Pass next_pass(const PackedTokens& packed, const Pass& last, std::size_t tokens) {
  Pass pass = {last.end, last.end + 1, last.squares_before};
  for (std::size_t s = last.begin; s < last.end; ++s) pass.squares_before += packed.length(s) * packed.length(s);
  const std::size_t limit = packed.cu_seqlens[pass.begin] + tokens;
  while (pass.end < packed.sequences() && packed.cu_seqlens[pass.end + 1] <= limit) ++pass.end;
  return pass;
}

Batch upload(const Ops& ops, const Pass& pass, Session& session) {
  const PackedTokens& packed = session.packed;
  const std::size_t first = packed.cu_seqlens[pass.begin];
  Batch batch;
  batch.tokens = packed.cu_seqlens[pass.end] - first;
  batch.sequences = pass.end - pass.begin;

  std::vector<std::int32_t>& numbers = session.indices;
  numbers.clear();
  for (const auto* of_tokens : {&packed.ids, &packed.types, &packed.positions})
    numbers.insert(numbers.end(), of_tokens->data() + first, of_tokens->data() + first + batch.tokens);
  for (std::size_t s = pass.begin; s <= pass.end; ++s)
    numbers.push_back(static_cast<std::int32_t>(packed.cu_seqlens[s] - first));
  bool asks = false;
  for (std::size_t s = pass.begin; s < pass.end; ++s) {
    numbers.push_back(static_cast<std::int32_t>(packed.cu_seqlens[s] - first + packed.asks_first[s]));
    asks |= packed.asks_first[s] != 0;
    batch.max_length = std::max(batch.max_length, packed.length(s));
  }

  auto* device = session.arena.take<std::int32_t>(numbers.size());
  ops.upload(device, numbers.data(), numbers.size() * sizeof(std::int32_t));
  batch.ids = device;
  batch.types = batch.ids + batch.tokens;
  batch.positions = batch.types + batch.tokens;
  batch.cu_seqlens = batch.positions + batch.tokens;
  if (asks) batch.key_begin = batch.cu_seqlens + batch.sequences + 1;
  return batch;
}

}  // namespace filbert
