// Cuts a packed batch into passes of a bounded number of tokens. Results do not depend on the cut, so memory is bounded
// for any batch, and activations stay near the caches.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/arena.h"
#include "engine/encoder.h"
#include "engine/exchange.h"
#include "engine/packed_tokens.h"
#include "engine/recordings.h"

namespace filbert {

// What one forward needs beyond the weights. Kept between calls for its memory.
struct Session {
  explicit Session(const Ops& ops)
      : arena(ops), recordings(ops, arena), results(ops), exchanges{Exchange(ops), Exchange(ops)} {}

  PackedTokens packed;
  Arena arena;
  Recordings recordings;              // they own the arena: a replay takes nothing from it, and uses all of it
  Arena results;                      // what is needed to bring results away
  Exchange exchanges[2];              // of the pass, and of the one before it
  std::vector<std::int64_t> offsets;  // of the pass: attention probabilities of each sequence
  std::vector<std::int64_t> rows;     // of the pass: where its rows go
  std::vector<float> staging;         // of the pass: rows on their way to the caller
};

// The pass after `last` (at first an empty one): as many whole sequences as fit into `tokens`, at least one.
Pass next_pass(const PackedTokens& packed, const Pass& last, std::size_t tokens);

// Brings a pass to the device, into the session's arena. Where forwards are recorded it is filled up with tokens of no
// sequence, with empty sequences and with empty tiles of queries, to one of few sizes.
Batch upload(const Ops& ops, const Pass& pass, Session& session, Exchange& exchange);

}  // namespace filbert
