// Small forwards, recorded by the backend (as a CUDA graph) when they come a second time and replayed from then on:
// one launch instead of a hundred.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/arena.h"
#include "engine/encoder.h"

namespace filbert {

// What of a forward is wanted beyond the hidden states.
struct Wanted {
  Rows rows = Rows::all;  // of the last layer
  bool head = false;
  bool pooled = false;
  filbert_pooling pooling = FILBERT_POOL_FIRST;
  bool normalize = false;
  bool operator==(const Wanted&) const = default;
};

// In the arena.
struct Computed {
  const void* last = nullptr;  // the last hidden state
  const void* rows = nullptr;  // the head's or the pooled ones, one a sequence
};

// The recordings of one session: they work on the memory of its arena.
class Recordings {
 public:
  Recordings(const Ops& ops, const Arena& arena) : ops_(ops), arena_(arena) {}
  ~Recordings() { clear(); }
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  // What compute() returns, computed or replayed. It must do the same for the same shape and the same Wanted.
  template <typename Compute>
  Computed run(const Batch& batch, const Wanted& wanted, const Compute& compute) {
    if (batch.tokens > ops_.device().tokens_to_record) return compute();
    if (generation_ != arena_.generation()) clear();
    const Shape shape = {
        batch.tokens, batch.sequences, batch.max_length, batch.key_begin != nullptr, batch.key_end != nullptr, wanted};
    Entry* entry = find(shape);
    if (!entry) {
      const Computed computed = compute();
      add(shape);
      return computed;
    }
    if (!entry->recording) {
      Computed computed;
      filbert_recording* recording = nullptr;
      try {
        recording = ops_.record([&] { computed = compute(); });
      } catch (const DeviceError&) {
        return compute();  // who waits for the whole device spoils a recording; what is really wrong is wrong here too
      }
      *entry = {shape, recording, computed, 0};
    }
    entry->last_use = ++clock_;
    ops_.replay(entry->recording);
    return entry->computed;
  }

 private:
  struct Shape {
    std::size_t tokens, sequences, max_length;
    bool query_only_first, query_only_last;
    Wanted wanted;
    bool operator==(const Shape&) const = default;
  };
  struct Entry {
    Shape shape;
    filbert_recording* recording;  // null: seen once
    Computed computed;
    std::uint64_t last_use;
  };

  Entry* find(const Shape& shape);
  void add(const Shape& shape);
  void clear();

  const Ops& ops_;
  const Arena& arena_;
  std::vector<Entry> entries_;
  std::size_t generation_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace filbert
