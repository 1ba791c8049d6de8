#include "engine/outputs.h"

#include <algorithm>

namespace filbert {
namespace {

// Whether some rows of the layout are those of no token.
bool has_unwritten(const PackedTokens& packed, const Layout& layout) {
  return packed.tokens() != layout.rows ||
         std::find(packed.query_only.begin(), packed.query_only.end(), 1) != packed.query_only.end();
}

// Calls take(count, row_of): how many rows a pass gives, and where each goes.
template <typename Take>
void with_rows(const PackedTokens& packed, const Pass& pass, bool of_tokens, const Take& take) {
  const std::size_t first = packed.cu_seqlens[pass.begin];
  if (of_tokens)
    take(packed.cu_seqlens[pass.end] - first, [&](std::size_t i) { return packed.row_of(first + i); });
  else
    take(pass.end - pass.begin, [&](std::size_t i) { return packed.sequence_row[pass.begin + i]; });
}

template <typename RowOf>
bool follow_each_other(std::size_t count, const Target& to, const RowOf& row_of) {
  if (to.width != to.stride || count == 0 || row_of(0) == PackedTokens::kNowhere) return false;
  for (std::size_t i = 1; i < count; ++i)
    if (row_of(i) != row_of(0) + i) return false;
  return true;
}

// Row i to row row_of(i), unless that is nowhere. Those that follow each other go in one copy.
template <typename RowOf>
void copy_rows(const float* rows, std::size_t count, const Target& to, const RowOf& row_of) {
  for (std::size_t i = 0; i < count;) {
    const std::size_t row = row_of(i);
    std::size_t run = 1;
    while (to.width == to.stride && i + run < count && row_of(i + run) == row + run) ++run;
    if (row != PackedTokens::kNowhere)
      std::copy_n(rows + i * to.width, run * to.width, to.to + row * to.stride + to.column);
    i += run;
  }
}

}  // namespace

void clear_sequence_rows(float* rows, const PackedTokens& packed, const Layout& layout, std::size_t width) {
  if (packed.sequences() < layout.sequences) std::fill_n(rows, layout.sequences * width, 0.0f);
}

void clear_token_rows(float* rows, const PackedTokens& packed, const Layout& layout, std::size_t width) {
  if (has_unwritten(packed, layout)) std::fill_n(rows, layout.rows * width, 0.0f);
}

void clear_unwritten(const OutputBuffers& out, const PackedTokens& packed, const Layout& layout,
                     const Dimensions& size) {
  if (out.on_device || !has_unwritten(packed, layout)) return;
  if (out.last_hidden_state) clear_token_rows(out.last_hidden_state, packed, layout, size.hidden);
  for (std::size_t i = 0; i < out.hidden_states.size(); ++i)
    if (float* const buffer = out.hidden_states[i]) clear_token_rows(buffer, packed, layout, size.width_of_state(i));
  for (float* buffer : out.attentions)
    if (buffer) std::fill_n(buffer, layout.rows * size.heads * layout.columns, 0.0f);
}

void deliver(const PackedTokens& packed, const Delivery& delivery) {
  with_rows(packed, delivery.pass, delivery.of_tokens,
            [&](std::size_t count, const auto& row_of) { copy_rows(delivery.rows, count, delivery.to, row_of); });
}

OutputWriter::OutputWriter(const Ops& ops, Session& session, Exchange& exchange, const Pass& pass, const Layout& layout,
                           const OutputBuffers& out, const Dimensions& size)
    : ops_(ops),
      session_(session),
      exchange_(exchange),
      pass_(pass),
      layout_(layout),
      out_(out),
      size_(size),
      device_memory_(out.on_device && !ops.device().activations_on_host) {
  if (out.attentions.empty()) return;
  const PackedTokens& packed = session.packed;
  session.offsets.clear();
  for (std::size_t s = pass.begin; s < pass.end; ++s) {
    session.offsets.push_back(static_cast<std::int64_t>(probability_count_));
    probability_count_ += size.heads * packed.length(s) * packed.length(s);
  }
  std::int64_t* offsets = session.results.take<std::int64_t>(session.offsets.size());
  ops.upload(offsets, session.offsets.data(), session.offsets.size() * sizeof(std::int64_t));
  probability_offsets_ = offsets;
  probabilities_ = session.results.take<float>(probability_count_);
}

void OutputWriter::write(const void* x, const Target& to, bool of_tokens) {
  with_rows(session_.packed, pass_, of_tokens, [&](std::size_t count, const auto& row_of) {
    if (ops_.device().activations_on_host) return copy_rows(static_cast<const float*>(x), count, to, row_of);
    if (device_memory_) {
      session_.rows.clear();
      for (std::size_t i = 0; i < count; ++i) session_.rows.push_back(static_cast<std::int64_t>(row_of(i)));
      auto* rows = session_.results.take<std::int64_t>(count);
      ops_.upload(rows, session_.rows.data(), count * sizeof(std::int64_t));
      ops_.scatter({x, rows, count, to.width, to.to});
    } else if (float* const kept = exchange_.results(count * to.width)) {
      ops_.give(kept, x, count * to.width);
      exchange_.deliver_later({kept, of_tokens, pass_, to});
    } else if (follow_each_other(count, to, row_of)) {
      ops_.read_into(to.to + row_of(0) * to.width, x, count * to.width);
    } else {
      copy_rows(ops_.read(x, count * to.width, session_.staging), count, to, row_of);
    }
  });
}

void OutputWriter::listed(const void* x, const std::vector<std::size_t>& rows, const Target& to) {
  copy_rows(ops_.read(x, rows.size() * to.width, session_.staging), rows.size(), to,
            [&](std::size_t i) { return rows[i]; });
}

void OutputWriter::hidden_state(const void* x) {
  if (out_.hidden_states.empty()) return;
  const std::size_t index = hidden_states_++;
  if (float* const to = out_.hidden_states[index]) tokens(x, {to, size_.width_of_state(index)});
}

void OutputWriter::next_attention(filbert_attention_args& args) {
  args.probabilities = probabilities_ && out_.attentions[attentions_] ? probabilities_ : nullptr;
  args.probability_offsets = probability_offsets_;
}

void OutputWriter::attention_done() {
  if (!probabilities_) return;
  float* const to = out_.attentions[attentions_++];
  if (!to) return;
  if (layout_.columns == 0) {
    ops_.download(to + size_.heads * pass_.squares_before, probabilities_, probability_count_);
    return;
  }
  session_.staging.resize(probability_count_);
  ops_.download(session_.staging.data(), probabilities_, probability_count_);
  for (std::size_t s = pass_.begin; s < pass_.end; ++s) {
    const auto offset = static_cast<std::size_t>(session_.offsets[s - pass_.begin]);
    write_padded_attention(s, session_.staging.data() + offset, to);
  }
}

void OutputWriter::write_padded_attention(std::size_t sequence, const float* from, float* to) const {
  const PackedTokens& packed = session_.packed;
  const std::size_t columns = layout_.columns;
  const std::size_t first = packed.cu_seqlens[sequence];
  const std::size_t length = packed.length(sequence);
  const std::size_t row = packed.sequence_row[sequence];
  for (std::size_t head = 0; head < size_.heads; ++head)
    for (std::size_t q = 0; q < length; ++q) {
      const float* scores = from + (head * length + q) * length;
      if (packed.row_of(first + q) == PackedTokens::kNowhere) continue;
      float* line = to + ((row * size_.heads + head) * columns + packed.row_of(first + q) % columns) * columns;
      for (std::size_t k = 0; k < length; ++k)
        if (packed.row_of(first + k) != PackedTokens::kNowhere) line[packed.row_of(first + k) % columns] = scores[k];
    }
}

}  // namespace filbert
