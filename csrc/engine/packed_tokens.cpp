#include "engine/packed_tokens.h"

#include <filbert/error.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

namespace filbert {
namespace {

// Names a token in error messages.
struct Place {
  const char* outer;
  std::size_t row;
  const char* inner;
  std::size_t column;

  std::string text() const {
    return " at " + std::string(outer) + " " + std::to_string(row) + ", " + inner + " " + std::to_string(column);
  }
};

std::int32_t checked(std::int64_t value, std::size_t limit, const char* what, const Place& place) {
  if (value >= 0 && static_cast<std::uint64_t>(value) < limit) return static_cast<std::int32_t>(value);
  throw InputError(std::string(what) + " " + std::to_string(value) + place.text() + " is out of range; expected 0 to " +
                   std::to_string(static_cast<std::int64_t>(limit) - 1));
}

// Tokenizers give 0 and 1 to models that have no types, which ignore them as transformers does. Others are a mistake.
constexpr std::size_t kIgnoredTypes = 2;

std::int32_t checked_type(std::int64_t value, std::size_t limit, const Place& place) {
  if (limit > 0) return checked(value, limit, "token type", place);
  if (value >= 0 && static_cast<std::uint64_t>(value) < kIgnoredTypes) return 0;
  throw InputError("token type " + std::to_string(value) + place.text() +
                   ", but the model has no token types (0 and 1 are ignored); positions are given as position_ids");
}

// Of tokens at the end of a sequence, which has others.
std::size_t checked_count(std::int64_t count, std::size_t length, std::size_t sequence) {
  if (count >= 0 && static_cast<std::uint64_t>(count) < length) return static_cast<std::size_t>(count);
  throw InputError("query_only " + std::to_string(count) + " at sequence " + std::to_string(sequence) +
                   " is out of range; expected 0 to " + std::to_string(length - 1));
}

[[noreturn]] void fail_length(std::size_t length, const InputRules& rules, const std::string& place) {
  const std::size_t limit = rules.most_tokens();
  throw InputError(
      "sequence" + place + " has " + std::to_string(length) + " tokens, but the model has " + std::to_string(limit) +
      " positions; truncate it (tokenizer(..., truncation=True, max_length=" + std::to_string(limit) + "))");
}

// The positions of a row, from its first column on.
class Positions {
 public:
  explicit Positions(const InputRules& rules) : rules_(rules) {}
  // Of the token in that column, which is `in_row` of the row and `among_tokens` from its first token on.
  std::size_t next(std::int64_t id, std::size_t in_row, std::size_t among_tokens) {
    switch (rules_.rule) {
      case InputRules::Positions::of_row:
        return in_row;
      case InputRules::Positions::of_tokens:
        return among_tokens;
      case InputRules::Positions::of_ids:
        break;
    }
    return static_cast<std::size_t>(rules_.padding_id) + (id == rules_.padding_id ? 0 : ++count_);
  }

 private:
  const InputRules& rules_;
  std::size_t count_ = 0;
};

// Copies numbers that should be 0 to limit - 1. False if one is not.
bool copy_within(const std::int64_t* from, std::size_t count, std::size_t limit, std::int32_t* to) {
  // The sign of one of two numbers tells, in operations that all vector units have: SSE2 compares no 64-bit numbers.
  const std::uint64_t last = std::min<std::uint64_t>(limit, std::numeric_limits<std::int64_t>::max()) - 1;
  std::uint64_t outside = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<std::uint64_t>(from[i]);
    outside |= value | (last - value);
    to[i] = static_cast<std::int32_t>(value);
  }
  return outside >> 63 == 0;
}

// The positions of a sequence. False if the model has not so many.
bool number_tokens(const std::int64_t* ids, std::size_t length, const InputRules& rules, std::int32_t* to) {
  if (rules.rule != InputRules::Positions::of_ids) {
    std::iota(to, to + length, 0);
    return length <= rules.positions;
  }
  const auto padding = static_cast<std::int32_t>(rules.padding_id);
  std::int32_t count = 0;
  for (std::size_t i = 0; i < length; ++i) {
    const bool counts = ids[i] != rules.padding_id;
    count += counts;
    to[i] = padding + (counts ? count : 0);
  }
  return static_cast<std::size_t>(padding + count) < rules.positions;
}

// Throws what is wrong with the first token that something is wrong with.
void check_one_by_one(const TokenBatch& batch, const InputRules& rules) {
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    const auto begin = static_cast<std::size_t>(batch.cu_seqlens[s]);
    const std::size_t length = static_cast<std::size_t>(batch.cu_seqlens[s + 1]) - begin;
    Positions counted(rules);
    for (std::size_t i = 0; i < length; ++i) {
      const Place place = {"sequence", s, "position", i};
      const std::size_t token = begin + i;
      const std::size_t position = counted.next(batch.ids[token], i, i);
      if ((position >= rules.positions && !batch.position_ids) || i >= rules.columns)
        fail_length(length, rules, " " + std::to_string(s));
      checked(batch.ids[token], rules.vocabulary, "token id", place);
      if (batch.token_type_ids) checked_type(batch.token_type_ids[token], rules.token_types, place);
      if (batch.position_ids) checked(batch.position_ids[token], rules.positions, "position id", place);
    }
    if (batch.query_only && length > 0) checked_count(batch.query_only[s], length, s);
  }
}

}  // namespace

std::size_t count_tokens(const TokenBatch& batch, const std::string& name) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // which no memory holds, and no product below overflows
  const std::int64_t* bounds = batch.cu_seqlens;
  if (bounds == nullptr && batch.sequences == 0) return 0;
  if (bounds[0] != 0) throw InputError(name + " begins with " + std::to_string(bounds[0]) + "; expected 0");
  for (std::size_t s = 0; s < batch.sequences; ++s)
    if (bounds[s + 1] < bounds[s])
      throw InputError(name + " decreases from " + std::to_string(bounds[s]) + " to " + std::to_string(bounds[s + 1]) +
                       " at sequence " + std::to_string(s));
  if (bounds[batch.sequences] > kMost)
    throw InputError(name + " ends with " + std::to_string(bounds[batch.sequences]) + "; expected at most " +
                     std::to_string(kMost));
  return static_cast<std::size_t>(bounds[batch.sequences]);
}

void PackedTokens::begin(std::size_t tokens) {
  for (auto* list : {&ids, &types, &positions, &columns}) list->resize(tokens);
  for (auto* list : {&row, &cu_seqlens, &sequence_row, &last_word, &key_end}) list->clear();
  query_only.clear();
  word_scales.clear();
  cu_seqlens.push_back(0);
}

void PackedTokens::scale_words(std::ptrdiff_t dropped, std::ptrdiff_t keys, const InputRules& rules) {
  // Rounded step by step, as torch does it. Where nothing else is left, what the others grow by has no value.
  const float share = static_cast<float>(dropped) / static_cast<float>(keys);
  const float scale = dropped == keys ? 0.0f : 1.0f / (1.0f - share);
  for (std::size_t t = cu_seqlens[cu_seqlens.size() - 2]; t < cu_seqlens.back(); ++t)
    word_scales.push_back(ids[t] == *rules.dropped ? 0.0f : scale);
}

void PackedTokens::end_sequence(std::size_t end, std::size_t output_row, bool first_query_only,
                                const InputRules& rules) {
  const std::size_t begin = cu_seqlens.back();
  std::size_t last = end - 1;
  while (rules.unread && last > begin && ids[last] == *rules.unread) --last;
  last_word.push_back(rules.unread && ids[last] == *rules.unread ? begin : last);
  cu_seqlens.push_back(end);
  sequence_row.push_back(output_row);
  query_only.push_back(first_query_only);
}

void PackedTokens::pack(const TokenBatch& batch, const InputRules& rules) {
  const std::size_t tokens = count_tokens(batch);
  begin(tokens);
  bool valid = copy_within(batch.ids, tokens, rules.vocabulary, ids.data());
  if (batch.token_type_ids)
    valid &=
        copy_within(batch.token_type_ids, tokens, rules.token_types ? rules.token_types : kIgnoredTypes, types.data());
  if (!batch.token_type_ids || rules.token_types == 0) std::fill(types.begin(), types.end(), 0);
  if (batch.position_ids) valid &= copy_within(batch.position_ids, tokens, rules.positions, positions.data());
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    const auto first = static_cast<std::size_t>(batch.cu_seqlens[s]);
    const auto end = static_cast<std::size_t>(batch.cu_seqlens[s + 1]);
    const std::size_t length = end - first;
    if (length == 0) continue;
    valid &= length <= rules.columns;
    std::iota(columns.data() + first, columns.data() + end, 0);
    if (!batch.position_ids) valid &= number_tokens(batch.ids + first, length, rules, positions.data() + first);
    end_sequence(end, s, false, rules);
    if (rules.dropped) {
      const std::size_t asking = batch.query_only ? static_cast<std::size_t>(batch.query_only[s]) : 0;
      const auto keys = static_cast<std::ptrdiff_t>(length - asking);
      scale_words(std::count(batch.ids + first, batch.ids + end, *rules.dropped), keys, rules);
    }
    if (!batch.query_only) continue;
    valid &= batch.query_only[s] >= 0 && static_cast<std::uint64_t>(batch.query_only[s]) < length;
    key_end.push_back(end - static_cast<std::size_t>(batch.query_only[s]));
  }
  if (!valid) check_one_by_one(batch, rules);
}

void PackedTokens::pack(const PaddedBatch& batch, const InputRules& rules, bool first_tokens) {
  begin(0);
  for (std::size_t r = 0; r < batch.rows; ++r) {
    const std::size_t offset = r * batch.columns;
    const std::uint8_t* mask = batch.attention_mask ? batch.attention_mask + offset : nullptr;
    const bool empty =
        batch.columns == 0 || (mask && std::all_of(mask, mask + batch.columns, [](std::uint8_t m) { return m == 0; }));
    if (empty) continue;
    const bool first_query_only = first_tokens && mask && mask[0] == 0;
    std::size_t first = 0;
    while (mask && mask[first] == 0 && !first_query_only) ++first;
    Positions counted(rules);
    for (std::size_t c = 0; c < batch.columns; ++c) {
      const bool query_only_here = c == 0 && first_query_only;
      const std::size_t column = c < first ? 0 : c - first;
      const std::size_t position = counted.next(batch.ids[offset + c], c, column);
      if (mask && mask[c] == 0 && !query_only_here) continue;
      const Place place = {"row", r, "column", c};
      const std::size_t token = offset + c;
      if ((position >= rules.positions && !batch.position_ids) || column >= rules.columns)
        fail_length(batch.columns, rules, " in row " + std::to_string(r));
      ids.push_back(checked(batch.ids[token], rules.vocabulary, "token id", place));
      types.push_back(checked_type(batch.token_type_ids ? batch.token_type_ids[token] : 0, rules.token_types, place));
      positions.push_back(batch.position_ids ? checked(batch.position_ids[token], rules.positions, "position id", place)
                                             : static_cast<std::int32_t>(position));
      columns.push_back(static_cast<std::int32_t>(column));
      row.push_back(query_only_here ? kNowhere : token);
    }
    end_sequence(ids.size(), r, first_query_only, rules);
    if (rules.dropped) {
      const std::int64_t* const row_ids = batch.ids + offset;
      const auto keys = static_cast<std::ptrdiff_t>(ids.size() - cu_seqlens.end()[-2]) - first_query_only;
      scale_words(std::count(row_ids, row_ids + batch.columns, *rules.dropped), keys, rules);
    }
  }
}

}  // namespace filbert
