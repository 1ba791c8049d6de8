// What packing makes of a batch: positions by each rule, columns, and which tokens are query-only.
#include <doctest/doctest.h>
#include <filbert/error.h>

#include <limits>
#include <string>
#include <vector>

#include "engine/packed_tokens.h"

using namespace filbert;

namespace {

using Numbers = std::vector<std::int32_t>;

InputRules rules(InputRules::Positions rule) {
  return {.vocabulary = 100, .token_types = 2, .positions = 10, .longest = 10, .rule = rule, .padding_id = 1};
}

// A row of ids with its mask.
PackedTokens packed(const std::vector<std::int64_t>& ids, const std::vector<std::uint8_t>& mask,
                    InputRules::Positions rule, bool first_tokens = false, const std::int64_t* positions = nullptr) {
  PackedTokens tokens;
  PaddedBatch batch;
  batch.ids = ids.data();
  batch.rows = 1;
  batch.columns = ids.size();
  batch.attention_mask = mask.empty() ? nullptr : mask.data();
  batch.position_ids = positions;
  tokens.pack(batch, rules(rule), first_tokens);
  return tokens;
}

// A ragged batch, by default of as many positions as the rules have.
struct Ragged {
  std::vector<std::int64_t> ids, bounds, types = {}, positions = {}, query_only = {};

  PackedTokens packed(const InputRules& rules) const {
    TokenBatch batch;
    batch.ids = ids.data();
    batch.cu_seqlens = bounds.data();
    batch.sequences = bounds.size() - 1;
    if (!types.empty()) batch.token_type_ids = types.data();
    if (!positions.empty()) batch.position_ids = positions.data();
    if (!query_only.empty()) batch.query_only = query_only.data();
    PackedTokens tokens;
    tokens.pack(batch, rules);
    return tokens;
  }

  std::string fault(const InputRules& rules) const {
    try {
      packed(rules);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
};

constexpr auto kOfRow = InputRules::Positions::of_row;
constexpr auto kOfIds = InputRules::Positions::of_ids;
constexpr auto kOfTokens = InputRules::Positions::of_tokens;

}  // namespace

TEST_CASE("packing: columns begin at the first token of a row, positions as the model has it") {
  // Left padding, a hole, right padding; the padding id also stands where the mask keeps it.
  const std::vector<std::int64_t> ids = {1, 1, 7, 8, 1, 9, 1};
  const std::vector<std::uint8_t> mask = {0, 0, 1, 0, 1, 1, 0};
  const Numbers columns = {0, 2, 3};
  CHECK(packed(ids, mask, kOfRow).columns == columns);
  CHECK(packed(ids, mask, kOfRow).positions == Numbers{2, 4, 5});
  CHECK(packed(ids, mask, kOfIds).columns == columns);
  CHECK(packed(ids, mask, kOfIds).positions == Numbers{2, 1, 4});
  CHECK(packed(ids, mask, kOfTokens).columns == columns);
  CHECK(packed(ids, mask, kOfTokens).positions == columns);
}

TEST_CASE("packing: a masked first token that is query-only is where columns begin") {
  const std::vector<std::int64_t> ids = {5, 6, 7, 8};
  const std::vector<std::uint8_t> mask = {0, 0, 1, 1};
  const PackedTokens asking = packed(ids, mask, kOfTokens, true);
  CHECK(asking.columns == Numbers{0, 2, 3});
  CHECK(asking.positions == Numbers{0, 2, 3});
  CHECK(asking.query_only == std::vector<std::uint8_t>{1});
  CHECK(asking.row == std::vector<std::size_t>{PackedTokens::kNowhere, 2, 3});
  const PackedTokens without = packed(ids, mask, kOfTokens);
  CHECK(without.columns == Numbers{0, 1});
  CHECK(without.query_only == std::vector<std::uint8_t>{0});
}

TEST_CASE("packing: a caller's positions leave columns as they are") {
  const std::vector<std::int64_t> ids = {5, 6, 7}, positions = {9, 0, 3};
  const PackedTokens tokens = packed(ids, {}, kOfTokens, false, positions.data());
  CHECK(tokens.columns == Numbers{0, 1, 2});
  CHECK(tokens.positions == Numbers{9, 0, 3});
}

TEST_CASE("packing: columns of a ragged batch are places in the sequence") {
  const PackedTokens tokens = Ragged{{5, 6, 7, 8, 9}, {0, 2, 2, 5}}.packed(rules(kOfTokens));
  CHECK(tokens.ids == Numbers{5, 6, 7, 8, 9});
  CHECK(tokens.types == Numbers{0, 0, 0, 0, 0});
  CHECK(tokens.columns == Numbers{0, 1, 0, 1, 2});
  CHECK(tokens.positions == tokens.columns);
  CHECK(tokens.sequence_row == std::vector<std::size_t>{0, 2});
  CHECK(tokens.cu_seqlens == std::vector<std::size_t>{0, 2, 5});
  CHECK(tokens.row_of(3) == 3);
}

TEST_CASE("packing: positions of a ragged batch are counted from the ids, or given") {
  CHECK(Ragged{{5, 1, 7, 1, 1, 9}, {0, 3, 6}}.packed(rules(kOfIds)).positions == Numbers{2, 1, 3, 1, 1, 2});
  CHECK(Ragged{{5, 6, 7}, {0, 3}, {}, {9, 0, 3}}.packed(rules(kOfRow)).positions == Numbers{9, 0, 3});
}

TEST_CASE("packing: nothing of an earlier batch is left") {
  PackedTokens tokens;
  const std::vector<std::int64_t> ids = {5, 6, 7}, types = {1, 1, 1}, bounds = {0, 1, 3};
  TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = bounds.data();
  batch.sequences = 2;
  batch.token_type_ids = types.data();
  tokens.pack(batch, rules(kOfRow));
  batch.sequences = 1;
  batch.token_type_ids = nullptr;
  tokens.pack(batch, rules(kOfRow));
  CHECK(tokens.ids == Numbers{5});
  CHECK(tokens.types == Numbers{0});
  CHECK(tokens.sequences() == 1);
}

TEST_CASE("packing: of several faults of a ragged batch the first is told") {
  const InputRules of_row = rules(kOfRow);
  const std::vector<std::int64_t> twelve(12, 5);
  std::vector<std::int64_t> with_bad_id = twelve;
  with_bad_id[11] = 100;
  CHECK(Ragged{with_bad_id, {0, 12}}.fault(of_row) ==
        "sequence 0 has 12 tokens, but the model has 10 positions; truncate it (tokenizer(..., truncation=True, "
        "max_length=10))");
  with_bad_id[9] = -1;
  CHECK(Ragged{with_bad_id, {0, 12}}.fault(of_row) ==
        "token id -1 at sequence 0, position 9 is out of range; expected 0 to 99");
  CHECK(Ragged{{5, 100, 5}, {0, 1, 3}, {0, 0, 2}}.fault(of_row) ==
        "token id 100 at sequence 1, position 0 is out of range; expected 0 to 99");
  CHECK(Ragged{{5, 5, 5}, {0, 1, 3}, {0, 0, 2}}.fault(of_row) ==
        "token type 2 at sequence 1, position 1 is out of range; expected 0 to 1");
  InputRules without_types = of_row;
  without_types.token_types = 0;
  CHECK(Ragged{{5, 5, 5}, {0, 1, 3}, {1, 0, 2}}.fault(without_types) ==
        "token type 2 at sequence 1, position 1, but the model has no token types (0 and 1 are ignored); positions are "
        "given as position_ids");
  CHECK(Ragged{{5, 5}, {0, 2}, {}, {0, 10}}.fault(of_row) ==
        "position id 10 at sequence 0, position 1 is out of range; expected 0 to 9");
  CHECK(Ragged{{5, 5, 100}, {0, 2, 3}, {}, {}, {2, 0}}.fault(of_row) ==
        "query_only 2 at sequence 0 is out of range; expected 0 to 1");
  const std::int64_t least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t id : {least, most, std::int64_t{1} << 32}) CHECK(Ragged{{id}, {0, 1}}.fault(of_row) != "");
  CHECK(Ragged{twelve, {0, 12}}.fault(rules(kOfIds)) != "");
  CHECK(Ragged{{twelve.begin(), twelve.begin() + 8}, {0, 8}}.fault(rules(kOfIds)) == "");
}

TEST_CASE("packing: a row is too long where its last position is, by the rule") {
  const std::vector<std::int64_t> ids(12, 5);
  const std::vector<std::uint8_t> mask = {0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  CHECK_THROWS_AS(packed(ids, mask, kOfRow), InputError);
  CHECK_THROWS_AS(packed(ids, mask, kOfIds), InputError);
  CHECK(packed(ids, mask, kOfTokens).tokens() == 10);
  CHECK_THROWS_AS(packed(ids, {}, kOfTokens), InputError);
}

TEST_CASE("packing: dropped words, and what the others of their sequence grow by") {
  using Scales = std::vector<float>;
  InputRules dropping = rules(kOfTokens);
  dropping.dropped = 9;
  CHECK(Ragged{{5, 6, 7}, {0, 3}}.packed(rules(kOfTokens)).word_scales.empty());
  // A half, none, all of a sequence; an empty one.
  CHECK(Ragged{{5, 9, 9, 6, 7, 8, 9}, {0, 4, 4, 6, 7}}.packed(dropping).word_scales == Scales{2, 0, 0, 2, 1, 1, 0});
  // Tokens that are query-only are none of its length, but may be dropped.
  CHECK(Ragged{{5, 6, 9, 9, 7, 8}, {0, 6}, {}, {}, {2}}.packed(dropping).word_scales == Scales{2, 2, 0, 0, 2, 2});
  CHECK(Ragged{{5, 9}, {0, 2}, {}, {}, {1}}.packed(dropping).word_scales == Scales{0, 0});

  // The same of masked tokens in a row, and a masked first one that asks.
  const std::vector<std::int64_t> ids = {5, 6, 9, 7, 8, 9};
  const std::vector<std::uint8_t> mask = {0, 1, 1, 1, 1, 0};
  PaddedBatch batch;
  batch.ids = ids.data();
  batch.rows = 1;
  batch.columns = ids.size();
  batch.attention_mask = mask.data();
  PackedTokens tokens;
  tokens.pack(batch, dropping, false);
  CHECK(tokens.word_scales == Scales{2, 0, 2, 2});
  tokens.pack(batch, dropping, true);
  CHECK(tokens.word_scales == Scales{2, 2, 0, 2, 2});
}
