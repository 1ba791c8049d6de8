#include "engine/passes.h"

#include <algorithm>
#include <bit>
#include <span>

#include "engine/query_tiles.h"

namespace filbert {
namespace {

// The next of the sizes that recordings come in: at most an eighth larger, or a multiple of `step`.
std::size_t recorded_size(std::size_t n, std::size_t step) {
  step = std::max(step, std::bit_floor(n) / 8);
  return (n + step - 1) / step * step;
}

}  // namespace

Pass next_pass(const PackedTokens& packed, const Pass& last, std::size_t tokens) {
  Pass pass = {last.end, last.end + 1, last.squares_before};
  for (std::size_t s = last.begin; s < last.end; ++s) pass.squares_before += packed.length(s) * packed.length(s);
  const std::size_t limit = packed.cu_seqlens[pass.begin] + tokens;
  while (pass.end < packed.sequences() && packed.cu_seqlens[pass.end + 1] <= limit) ++pass.end;
  return pass;
}

Batch upload(const Ops& ops, const Pass& pass, Session& session, Exchange& exchange) {
  const PackedTokens& packed = session.packed;
  const std::size_t first = packed.cu_seqlens[pass.begin];
  const std::size_t tokens = packed.cu_seqlens[pass.end] - first;
  Batch batch = {};
  batch.tokens = tokens;
  batch.sequences = pass.end - pass.begin;
  for (std::size_t s = pass.begin; s < pass.end; ++s) batch.max_length = std::max(batch.max_length, packed.length(s));
  const bool recorded = tokens <= ops.device().tokens_to_record;
  if (recorded) {
    batch.sequences = std::bit_ceil(batch.sequences);
    batch.tokens = std::max(recorded_size(tokens, 16), batch.sequences);  // rows of one a sequence have room, too
    batch.max_length = recorded_size(batch.max_length, batch.max_length <= 32 ? 32 : 64);
  }

  const std::span<const std::size_t> bounds_of_pass(&packed.cu_seqlens[pass.begin], pass.end - pass.begin + 1);
  if (const std::size_t queries = ops.device().query_tile) {
    const std::size_t tiles = recorded ? most_query_tiles(batch.tokens, batch.sequences, queries)
                                       : count_query_tiles(bounds_of_pass, queries);
    const std::size_t of_longest = (batch.max_length + queries - 1) / queries;
    if (tiles < batch.sequences * of_longest) batch.tiles = {nullptr, tiles, queries};
  }

  const std::size_t of_tokens = 4 * batch.tokens;
  const std::size_t of_sequences = (5 + !packed.key_end.empty()) * batch.sequences + 1;
  const std::size_t count = of_tokens + of_sequences + 2 * batch.tiles.count;
  std::int32_t* const numbers = exchange.indices(count);
  std::int32_t* to = numbers;
  for (const auto* list : {&packed.ids, &packed.types, &packed.positions, &packed.columns}) {
    to = std::copy_n(list->data() + first, tokens, to);
    to = std::fill_n(to, batch.tokens - tokens, 0);
  }
  const auto add_sequences = [&](std::size_t length, std::size_t of_empty, const auto& token_of) {
    for (std::size_t i = 0; i < length; ++i) {
      const std::size_t s = pass.begin + i;
      *to++ = static_cast<std::int32_t>(s < pass.end ? token_of(s) - first : of_empty);
    }
  };
  const std::vector<std::size_t>& bounds = packed.cu_seqlens;
  add_sequences(batch.sequences + 1, tokens, [&](std::size_t s) { return bounds[s]; });
  add_sequences(batch.sequences, 0, [&](std::size_t s) { return bounds[s]; });
  add_sequences(batch.sequences, 0, [&](std::size_t s) { return bounds[s + 1] - 1; });
  add_sequences(batch.sequences, 0, [&](std::size_t s) { return packed.last_word[s]; });
  add_sequences(batch.sequences, tokens, [&](std::size_t s) { return bounds[s] + packed.query_only[s]; });
  if (!packed.key_end.empty()) add_sequences(batch.sequences, tokens, [&](std::size_t s) { return packed.key_end[s]; });
  const std::uint8_t* flags = packed.query_only.data();
  const bool some_query_only = std::find(flags + pass.begin, flags + pass.end, 1) != flags + pass.end;

  if (batch.tiles.count > 0) {
    to = write_query_tiles(bounds_of_pass, batch.tiles.queries, to);
    std::fill(to, numbers + count, static_cast<std::int32_t>(batch.sequences));
  }

  batch.ids = numbers;
  if (!ops.device().activations_on_host) {
    auto* device = session.arena.take<std::int32_t>(count);
    ops.fetch(device, numbers, count * sizeof(std::int32_t));
    batch.ids = device;
  }
  batch.types = batch.ids + batch.tokens;
  batch.positions = batch.types + batch.tokens;
  batch.columns = batch.positions + batch.tokens;
  batch.cu_seqlens = batch.columns + batch.tokens;
  batch.first = batch.cu_seqlens + batch.sequences + 1;
  batch.last = batch.first + batch.sequences;
  batch.last_word = batch.last + batch.sequences;
  if (some_query_only) batch.key_begin = batch.last_word + batch.sequences;
  if (!packed.key_end.empty()) batch.key_end = batch.last_word + 2 * batch.sequences;
  if (batch.tiles.count > 0)
    batch.tiles.list = reinterpret_cast<const filbert_query_tile*>(batch.ids + of_tokens + of_sequences);
  return batch;
}

}  // namespace filbert
