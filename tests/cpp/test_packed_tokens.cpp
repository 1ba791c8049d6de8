// What packing makes of a batch: positions by each rule, columns, and which tokens are query-only.
#include <doctest/doctest.h>
#include <filbert/error.h>

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
  const std::vector<std::int64_t> ids = {5, 6, 7, 8, 9}, bounds = {0, 2, 2, 5};
  PackedTokens tokens;
  TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = bounds.data();
  batch.sequences = 3;
  tokens.pack(batch, rules(kOfTokens));
  CHECK(tokens.columns == Numbers{0, 1, 0, 1, 2});
  CHECK(tokens.positions == tokens.columns);
  CHECK(tokens.sequence_row == std::vector<std::size_t>{0, 2});
}

TEST_CASE("packing: a row is too long where its last position is, by the rule") {
  const std::vector<std::int64_t> ids(12, 5);
  const std::vector<std::uint8_t> mask = {0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  CHECK_THROWS_AS(packed(ids, mask, kOfRow), InputError);
  CHECK_THROWS_AS(packed(ids, mask, kOfIds), InputError);
  CHECK(packed(ids, mask, kOfTokens).tokens() == 10);
  CHECK_THROWS_AS(packed(ids, {}, kOfTokens), InputError);
}
