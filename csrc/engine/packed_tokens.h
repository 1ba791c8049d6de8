// A batch with its padding removed and every index checked, ready to be cut into passes and uploaded.
#pragma once

#include <filbert/batch.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace filbert {

// The length of cu_seqlens' batch. Throws InputError, which calls it `name`, unless cu_seqlens begins with 0, never
// decreases and ends with what can be.
std::size_t count_tokens(const TokenBatch& batch, const std::string& name = "cu_seqlens");

// What a model can be asked, for checking inputs before anything is gathered, and how it counts positions.
struct InputRules {
  enum class Positions {
    of_row,    // the column in the row
    of_ids,    // counts the ids of the row that are not `padding_id`, masked or not, and begins after it; that one has
               // its own number for a position (RoBERTa, arXiv:1907.11692, as in fairseq)
    of_tokens  // the column, from the first token of the row on: what is relative has no other beginning
  };
  std::size_t vocabulary = 0;
  std::size_t token_types = 0;  // 0: the model has none
  std::size_t positions = 0;    // rows of its table, or how far it can count
  std::size_t longest = 0;      // tokens of a sequence, as the configuration has it
  // Columns of a row, whatever positions its tokens are given: of a bias that has no more distances.
  std::size_t columns = static_cast<std::size_t>(-1);
  Positions rule = Positions::of_row;
  std::int64_t padding_id = 0;
  std::optional<std::int64_t> unread = std::nullopt;  // an id that is padding at the end, whatever the mask says
  // An id whose words are left out, as by dropout, while those of the other tokens of its sequence grow.
  std::optional<std::int64_t> dropped = std::nullopt;

  // Of a sequence: where nothing is looked up by positions, more than the model learned from.
  std::size_t most_tokens() const { return rule == Positions::of_tokens ? positions : longest; }
};

// One record a token, in the order of the batch. Kept between calls for its memory.
struct PackedTokens {
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> types;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> columns;  // in the row, from its first token on, query-only or not
  // 0 of dropped words, of others 1 / (1 - dropped / keys), or 0 too where all keys would be dropped; empty: ones
  std::vector<float> word_scales;
  std::vector<std::size_t> row;  // of the outputs; kNowhere for a query-only token; empty: each has its own place
  // One record a sequence that is not empty.
  std::vector<std::size_t> cu_seqlens;    // [sequences + 1]
  std::vector<std::size_t> sequence_row;  // of the outputs
  std::vector<std::size_t> last_word;     // its last token that is not unread, or its first
  std::vector<std::uint8_t> query_only;   // its first token is masked: it is query-only, for a head
  std::vector<std::size_t> key_end;       // where its last tokens that are query-only begin; empty: nowhere any are

  std::size_t tokens() const { return ids.size(); }
  std::size_t row_of(std::size_t token) const { return row.empty() ? token : row[token]; }
  std::size_t sequences() const { return sequence_row.size(); }
  std::size_t length(std::size_t sequence) const { return cu_seqlens[sequence + 1] - cu_seqlens[sequence]; }

  // Both throw InputError naming sequence and position (row and column). With `first_tokens`, a masked first column of
  // a row that is not fully masked is kept as a query-only token: transformers reads it.
  void pack(const TokenBatch& batch, const InputRules& rules);
  void pack(const PaddedBatch& batch, const InputRules& rules, bool first_tokens);

 private:
  // With as many records of tokens, not yet filled, and none of sequences.
  void begin(std::size_t tokens);
  // Of the sequence that has ended, of which so many tokens are dropped, masked ones too, and so many are keys.
  void scale_words(std::ptrdiff_t dropped, std::ptrdiff_t keys, const InputRules& rules);
  // Of the tokens up to `end`.
  void end_sequence(std::size_t end, std::size_t output_row, bool first_query_only, const InputRules& rules);
};

}  // namespace filbert
