// Cuts a packed batch into passes of a bounded number of tokens. Results do not depend on the cut, so memory is bounded
// for any batch, and activations stay near the caches.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/arena.h"
#include "engine/encoder.h"
#include "engine/packed_tokens.h"
#include "engine/recordings.h"

namespace filbert {

// What one forward needs beyond the weights. Kept between calls for its memory.
struct Session {
  explicit Session(const Ops& ops) : arena(ops), recordings(ops, arena), results(ops) {}

  PackedTokens packed;
  Arena arena;
  Recordings recordings;              // they own the arena: a replay takes nothing from it, and uses all of it
  Arena results;                      // what is needed to bring results away
  std::vector<std::int32_t> indices;  // of the pass: the arrays of its Batch
  std::vector<std::int64_t> offsets;  // of the pass: attention probabilities of each sequence
  std::vector<std::int64_t> rows;     // of the pass: where its rows go
  std::vector<float> staging;         // of the pass: rows on their way to the caller
};

// Sequences [begin, end) of the packed batch.
struct Pass {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t squares_before = 0;  // the sum of length^2 of the sequences before `begin`
};

// The pass after `last` (at first an empty one): as many whole sequences as fit into `tokens`, at least one.
Pass next_pass(const PackedTokens& packed, const Pass& last, std::size_t tokens);

// Uploads a pass into the session's arena. Where forwards are recorded it is filled up with tokens of no
// sequence and with empty sequences, to one of few sizes.
Batch upload(const Ops& ops, const Pass& pass, Session& session);

}  // namespace filbert
