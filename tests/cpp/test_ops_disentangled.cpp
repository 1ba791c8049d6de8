// Attention with terms for positions on every instruction set, against plain loops in double precision, and the
// neighbours of tokens.
#include <doctest/doctest.h>

#include <numeric>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// How rows go with distances up to `reach`: one for each, each for some that grow in number further away, some passed
// over, or the same for all.
enum class Rows { each, widening, skipping, same };

struct Shape {
  AttentionShape attention;
  std::int64_t reach;
  Rows rows = Rows::each;
  bool position_k = true, position_q = true;
};

const std::vector<Shape> kShapes = {
    {{.head_size = 1}, 5},
    {{.head_size = 8}, 300},
    {{.head_size = 24, .holes = true}, 40},
    {{.head_size = 64, .masked_first = true}, 128},
    {{.head_size = 64, .masked_last = true}, 128},
    {{.head_size = 32, .holes = true, .masked_last = true}, 700, Rows::widening},
    {{.head_size = 64}, 200, Rows::widening},
    {{.head_size = 32, .masked_first = true, .holes = true}, 700, Rows::widening},
    {{.head_size = 33, .heads = 3, .kv_heads = 3}, 90, Rows::skipping},
    {{.head_size = 16}, 0, Rows::same},
    {{.head_size = 80}, 20, Rows::same},
    {{.head_size = 64}, 100, Rows::widening, true, false},
    {{.head_size = 64}, 100, Rows::widening, false, true},
    {{.head_size = 20, .holes = true}, 64, Rows::each, false, true},
    {{.head_size = 96}, 64, Rows::each, true, false},
};

std::int64_t side(Rows rows, std::int64_t away) {
  switch (rows) {
    case Rows::each:
      return away;
    case Rows::widening:
      return away <= 12 ? away : 12 + static_cast<std::int64_t>(std::log(static_cast<double>(away) / 12) * 9);
    case Rows::skipping:
      return away <= 12 ? away : 2 * away - 12;
    case Rows::same:
      break;
  }
  return 0;
}

struct Data {
  Shape shape;
  AttentionData attention;
  std::vector<float> rows;
  std::size_t count;                          // rows of the tables
  std::vector<float> position_k, position_q;  // [count, 2 heads head_size], the second half of each row

  explicit Data(const Shape& of, const std::vector<std::int32_t>& lengths = kLengths, unsigned seed = 5)
      : shape(of), attention(of.attention, lengths, seed) {
    const std::int64_t last = side(shape.rows, shape.reach);
    for (std::int64_t distance = -shape.reach; distance <= shape.reach; ++distance) {
      const std::int64_t row = last + (distance < 0 ? -side(shape.rows, -distance) : side(shape.rows, distance));
      rows.push_back(static_cast<float>(row + 1));  // row 0 is nobody's
    }
    count = static_cast<std::size_t>(2 * last + 2);
    position_k = random_floats(count * 2 * attention.width(), 50);
    position_q = random_floats(count * 2 * attention.width(), 51);
  }

  std::size_t terms() const { return std::size_t{shape.position_k} + std::size_t{shape.position_q}; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.attention.head_size * (1 + terms()))); }
  std::size_t row(std::size_t query, std::size_t key) const {
    const std::int64_t distance = std::int64_t{attention.columns[key]} - attention.columns[query];
    return static_cast<std::size_t>(
        rows[static_cast<std::size_t>(std::clamp(distance, -shape.reach, shape.reach) + shape.reach)]);
  }

  Expected expected(bool bf16) const {
    std::vector<float> of_keys = position_k, of_queries = position_q;
    if (bf16)
      for (auto* table : {&of_keys, &of_queries}) round_to_bf16(*table);
    return reference(
        attention, bf16, scale(), [&](AttentionData& data, std::size_t q, std::size_t k, std::size_t head) {
          const std::size_t d = shape.attention.head_size, at = (2 * row(q, k) + 1) * data.width() + head * d;
          return (shape.position_k ? dot(data.query(q, head), &of_keys[at], d) : 0) +
                 (shape.position_q ? dot(data.key(k, head), &of_queries[at], d) : 0);
        });
  }

  AttentionResult run(const IsaOps& ops, bool probabilities, filbert_rows asking = FILBERT_ROWS_ALL) {
    const WeightPtr by_distance = load(ops, FILBERT_VECTOR, rows, rows.size());
    const std::size_t width = attention.width();
    const std::size_t head_size = shape.attention.head_size;
    std::vector<float> of_keys = as_heads(ops.of, position_k, 2 * width, head_size);
    std::vector<float> of_queries = as_heads(ops.of, position_q, 2 * width, head_size);
    const auto table = [&](bool wanted, std::vector<float>& numbers) {
      return wanted ? filbert_heads{numbers.data(), 2 * width, width, count} : filbert_heads{};
    };
    return run_as(ops, attention, probabilities, asking, [&](filbert_attention_args args) {
      args.scale = scale();
      ops.disentangled_attention({args, table(shape.position_k, of_keys), table(shape.position_q, of_queries),
                                  by_distance.get(), static_cast<std::size_t>(shape.reach)});
    });
  }
};

std::string text_of(const Shape& shape, const std::string& isa, filbert_dtype dtype) {
  return isa + ", dtype " + std::to_string(dtype) + ", head size " + std::to_string(shape.attention.head_size) +
         ", reach " + std::to_string(shape.reach) + ", rows " + std::to_string(static_cast<int>(shape.rows)) +
         (shape.attention.masked_first ? ", first masked" : "") + (shape.attention.holes ? ", holes" : "");
}

}  // namespace

TEST_CASE("ops: disentangled attention against double precision, on ragged lengths") {
  for (const Shape& shape : kShapes) {
    Data data(shape);
    const Expected references[] = {data.expected(false), data.expected(true)};
    for (const auto& [isa, dtype] : distinct_attention()) {
      const std::string text = text_of(shape, isa, dtype);
      CAPTURE(text);
      const bool bf16 = attends_in_bf16(isa, dtype);
      const auto ops = open_isa(isa, dtype);
      CHECK(worst_error(data.run(*ops, true), references[bf16], bf16, true) <= 1);
    }
  }
}

TEST_CASE("ops: disentangled attention gives the same bits without probabilities, and for first or last tokens only") {
  for (const Shape& shape : kShapes) {
    Data data(shape, {1, 129, 2, 15, 16, 33});
    for (const auto& [isa, dtype] : distinct_attention()) {
      if (isa == "scalar") continue;
      const std::string text = text_of(shape, isa, dtype);
      CAPTURE(text);
      const auto ops = open_isa(isa, dtype);
      const std::vector<float> all = data.run(*ops, true).out;
      CHECK(same_bits(data.run(*ops, false).out, all));
      const std::vector<float> first = data.run(*ops, false, FILBERT_ROWS_FIRST).out;
      const std::vector<float> last = data.run(*ops, false, FILBERT_ROWS_LAST).out;
      for (std::size_t s = 0; s < data.attention.sequences(); ++s) {
        CAPTURE(s);
        const std::size_t width = data.attention.width();
        const auto begin = static_cast<std::size_t>(data.attention.cu[s]);
        const auto end = static_cast<std::size_t>(data.attention.cu[s + 1]) - 1;
        CHECK(same_bits(slice(first, s * width, width), slice(all, begin * width, width)));
        CHECK(same_bits(slice(last, s * width, width), slice(all, end * width, width)));
      }
    }
  }
}

TEST_CASE("ops: invariance, disentangled attention") {
  const std::vector<std::int32_t> lengths = {33, 1, 16, 2, 129, 64, 15, 128, 17};
  for (const Shape& shape : kShapes) {
    // Sequences with the numbers that they have alone.
    const auto batch_of = [&](const std::vector<std::int32_t>& order) {
      Data all(shape, order);
      all.attention.take_sequences_of(order);
      return all;
    };
    std::vector<Data> singles;
    for (const std::int32_t length : lengths) singles.push_back(batch_of({length}));
    Data all = batch_of(lengths);
    for (const auto& [isa, dtype] : distinct_attention()) {
      std::vector<std::vector<float>> alone;
      const auto one = open_isa(isa, dtype, 1);
      for (Data& single : singles) alone.push_back(single.run(*one, false).out);
      for (const int threads : {1, 3}) {
        const std::vector<float> together = all.run(*open_isa(isa, dtype, threads), false).out;
        std::size_t begin = 0;
        for (std::size_t s = 0; s < lengths.size(); ++s) {
          const std::string text = text_of(shape, isa, dtype);
          CAPTURE(text);
          CAPTURE(threads);
          CAPTURE(lengths[s]);
          REQUIRE(same_bits(slice(together, begin, alone[s].size()), alone[s]));
          begin += alone[s].size();
        }
      }
    }
  }
}

TEST_CASE("ops: neighbours are of the same sequence, keys, and as far away as columns say") {
  constexpr std::size_t kWidth = 3;
  const std::vector<std::int32_t> cu = {0, 1, 1, 5, 8}, columns = {4, 0, 1, 2, 5, 0, 1, 3}, key_begin = {0, 1, 1, 6};
  std::vector<float> x(cu.back() * kWidth);
  std::iota(x.begin(), x.end(), 1.0f);
  for (const bool has_query_only : {false, true})
    for (const std::size_t reach : {0u, 1u, 2u, 4u}) {
      CAPTURE(has_query_only);
      CAPTURE(reach);
      const filbert_batch batch = {
          cu.data(), has_query_only ? key_begin.data() : nullptr, columns.data(), 4, 4, nullptr, {}};
      const std::size_t taps = 2 * reach + 1;
      std::vector<float> expected(x.size() * taps);
      for (std::size_t s = 0; s < 4; ++s)
        for (std::int32_t token = cu[s]; token < cu[s + 1]; ++token)
          for (std::int32_t key = has_query_only ? key_begin[s] : cu[s]; key < cu[s + 1]; ++key) {
            const auto from = static_cast<std::size_t>(key), to = static_cast<std::size_t>(token);
            const std::int64_t tap = std::int64_t{columns[from]} - columns[to] + static_cast<std::int64_t>(reach);
            if (tap < 0 || tap >= static_cast<std::int64_t>(taps)) continue;
            for (std::size_t j = 0; j < kWidth; ++j)
              expected[(to * taps + static_cast<std::size_t>(tap)) * kWidth + j] = x[from * kWidth + j];
          }
      std::vector<float> found(expected.size(), NAN);
      const auto ops = open_isa("scalar");
      ops->neighbours({&batch, x.data(), kWidth, reach, found.data()});
      CHECK(found == expected);
    }
}
