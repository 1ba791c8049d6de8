#include "engine/passes.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "engine/query_tiles.h"

namespace filbert {
namespace {

// The next of the sizes that recordings come in: at most an eighth larger, or a multiple of `step`.
std::size_t recorded_size(std::size_t n, std::size_t step) {
  step = std::max(step, std::bit_floor(n) / 8);
  return (n + step - 1) / step * step;
}

// Where the sequences of a pass begin and end.
std::span<const std::size_t> bounds_of(const PackedTokens& packed, const Pass& pass) {
  return {&packed.cu_seqlens[pass.begin], pass.end - pass.begin + 1};
}

// How many tokens and sequences a pass has, or is filled up to, and its tiles of queries; no index yet.
Batch measure(const filbert_device_description& device, const PackedTokens& packed, const Pass& pass) {
  Batch batch = {};
  batch.tokens = packed.cu_seqlens[pass.end] - packed.cu_seqlens[pass.begin];
  batch.sequences = pass.end - pass.begin;
  for (std::size_t s = pass.begin; s < pass.end; ++s) batch.max_length = std::max(batch.max_length, packed.length(s));
  const bool recorded = batch.tokens <= device.tokens_to_record;
  if (recorded) {
    batch.sequences = std::bit_ceil(batch.sequences);
    batch.tokens = std::max(recorded_size(batch.tokens, 16), batch.sequences);  // rows of one a sequence have room, too
    batch.max_length = recorded_size(batch.max_length, batch.max_length <= 32 ? 32 : 64);
  }
  if (const std::size_t queries = device.query_tile) {
    const std::size_t tiles = recorded ? most_query_tiles(batch.tokens, batch.sequences, queries)
                                       : count_query_tiles(bounds_of(packed, pass), queries);
    const std::size_t of_longest = (batch.max_length + queries - 1) / queries;
    if (tiles < batch.sequences * of_longest) batch.tiles = {nullptr, tiles, queries};
  }
  return batch;
}

// Writes lists of indices one behind another into memory of the host, and tells where the device will find each.
class IndexLists {
 public:
  IndexLists(std::int32_t* host, const std::int32_t* device) : to_(host), host_(host), device_(device) {}

  // Numbers, then zeros up to `size`.
  const std::int32_t* add(std::span<const std::int32_t> numbers, std::size_t size) {
    const std::int32_t* const list = here();
    to_ = std::copy(numbers.begin(), numbers.end(), to_);
    to_ = std::fill_n(to_, size - numbers.size(), 0);
    return list;
  }
  // The same of floats, which are as wide.
  const float* add(std::span<const float> numbers, std::size_t size) {
    const std::int32_t* const list = here();
    std::memcpy(to_, numbers.data(), numbers.size_bytes());
    to_ = std::fill_n(to_ + numbers.size(), size - numbers.size(), 0);
    return reinterpret_cast<const float*>(list);
  }
  // number(0) to number(size - 1).
  template <typename Number>
  const std::int32_t* add(std::size_t size, const Number& number) {
    const std::int32_t* const list = here();
    for (std::size_t i = 0; i < size; ++i) *to_++ = static_cast<std::int32_t>(number(i));
    return list;
  }
  // The tiles of the sequences within `bounds`, then tiles of `none`, the sequence behind the last.
  const filbert_query_tile* add(const filbert_query_tiles& tiles, std::span<const std::size_t> bounds,
                                std::size_t none) {
    const std::int32_t* const list = here();
    std::int32_t* const end = to_ + 2 * tiles.count;
    std::fill(write_query_tiles(bounds, tiles.queries, to_), end, static_cast<std::int32_t>(none));
    to_ = end;
    return reinterpret_cast<const filbert_query_tile*>(list);
  }

 private:
  const std::int32_t* here() const { return device_ + (to_ - host_); }

  std::int32_t* to_;
  std::int32_t* const host_;
  const std::int32_t* const device_;
};

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
  const std::span<const std::size_t> bounds = bounds_of(packed, pass);
  const std::size_t first = bounds.front();
  const std::size_t tokens = bounds.back() - first;
  const bool has_key_end = !packed.key_end.empty(), has_word_scales = !packed.word_scales.empty();
  Batch batch = measure(ops.device(), packed, pass);

  const std::size_t count =
      (4 + has_word_scales) * batch.tokens + (5 + has_key_end) * batch.sequences + 1 + 2 * batch.tiles.count;
  const bool on_host = ops.device().activations_on_host;
  std::int32_t* const host = exchange.indices(count);
  std::int32_t* const device = on_host ? host : session.arena.take<std::int32_t>(count);
  IndexLists lists(host, device);
  const auto add_tokens = [&](const auto& all) {
    return lists.add(std::span(all).subspan(first, tokens), batch.tokens);
  };
  // Of each sequence a token; `of_empty` of those that fill up.
  const auto add_sequences = [&](std::size_t size, std::size_t of_empty, const auto& token) {
    return lists.add(size, [&](std::size_t i) {
      const std::size_t s = pass.begin + i;
      return s < pass.end ? token(s) - first : of_empty;
    });
  };
  batch.ids = add_tokens(packed.ids);
  batch.types = add_tokens(packed.types);
  batch.positions = add_tokens(packed.positions);
  batch.columns = add_tokens(packed.columns);
  if (has_word_scales) batch.word_scales = add_tokens(packed.word_scales);
  const std::vector<std::size_t>& begin = packed.cu_seqlens;
  batch.cu_seqlens = add_sequences(batch.sequences + 1, tokens, [&](std::size_t s) { return begin[s]; });
  batch.first = add_sequences(batch.sequences, 0, [&](std::size_t s) { return begin[s]; });
  batch.last = add_sequences(batch.sequences, 0, [&](std::size_t s) { return begin[s + 1] - 1; });
  batch.last_word = add_sequences(batch.sequences, 0, [&](std::size_t s) { return packed.last_word[s]; });
  batch.key_begin =
      add_sequences(batch.sequences, tokens, [&](std::size_t s) { return begin[s] + packed.query_only[s]; });
  const auto flags = std::span(packed.query_only).subspan(pass.begin, pass.end - pass.begin);
  if (std::find(flags.begin(), flags.end(), 1) == flags.end()) batch.key_begin = nullptr;
  if (has_key_end)
    batch.key_end = add_sequences(batch.sequences, tokens, [&](std::size_t s) { return packed.key_end[s]; });
  if (batch.tiles.count > 0) batch.tiles.list = lists.add(batch.tiles, bounds, batch.sequences);
  if (!on_host) ops.fetch(device, host, count * sizeof(std::int32_t));
  return batch;
}

}  // namespace filbert
