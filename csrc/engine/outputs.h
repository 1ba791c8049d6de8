// Brings the results of a pass into the caller's buffers, ragged or padded.
#pragma once

#include <filbert/model.h>

#include "engine/passes.h"

namespace filbert {

// Where the rows of a batch go: a padded buffer [rows, columns, ...], or a ragged one (columns == 0).
struct Layout {
  std::size_t rows = 0;     // rows of the outputs: tokens, or rows * columns
  std::size_t columns = 0;  // 0: ragged
  std::size_t sequences = 0;
};

// Fill what nothing will write: the rows of empty sequences, and padding, are zero.
void clear_sequence_rows(float* rows, const PackedTokens& packed, const Layout& layout, std::size_t width);
void clear_token_rows(float* rows, const PackedTokens& packed, const Layout& layout, std::size_t width);
void clear_unwritten(const OutputBuffers& out, const PackedTokens& packed, const Layout& layout,
                     const Dimensions& size);

// The rows of a pass go to the caller's.
void deliver(const PackedTokens& packed, const Delivery& delivery);

// One pass's results. Hidden states and attentions arrive while the forward runs.
class OutputWriter : public Trace {
 public:
  OutputWriter(const Ops& ops, Session& session, Exchange& exchange, const Pass& pass, const Layout& layout,
               const OutputBuffers& out, const Dimensions& size);

  void hidden_state(const void* x) override;
  void next_attention(filbert_attention_args& args) override;
  void attention_done() override;

  // Rows of x, one a token of the pass, one a sequence, or one for each of the rows listed. They are there when the
  // exchange is finished.
  void tokens(const void* x, const Target& to) { write(x, to, true); }
  void sequences(const void* x, const Target& to) { write(x, to, false); }
  void listed(const void* x, const std::vector<std::size_t>& rows, const Target& to);

 private:
  void write(const void* x, const Target& to, bool of_tokens);
  void write_padded_attention(std::size_t sequence, const float* from, float* to) const;

  const Ops& ops_;
  Session& session_;
  Exchange& exchange_;
  Pass pass_;
  Layout layout_;
  const OutputBuffers& out_;
  Dimensions size_;
  bool device_memory_;
  std::size_t hidden_states_ = 0;
  std::size_t attentions_ = 0;
  std::size_t probability_count_ = 0;
  float* probabilities_ = nullptr;  // of one layer
  const std::int64_t* probability_offsets_ = nullptr;
};

}  // namespace filbert
