// The promise of the library, op by op: a token's result has the same bits alone, in any batch, at any place, with any
// number of threads.
#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// What follows attention in a layer, with an embedding before it and every other op after it: heads last, which are
// read by attention, where each token is a sequence of its own and has its value for result. Widths that are no
// multiple of anything, and with whole blocks of the int8 rotation.
class Chain {
 public:
  static constexpr std::size_t kWidth = 150, kHeadSize = 30, kVocabulary = 67;

  Chain(const Ops& ops, std::size_t inner)
      : ops_(ops),
        inner_(inner),
        words_(load(ops, FILBERT_TABLE, kWords, kVocabulary, kWidth)),
        gamma_(load(ops, FILBERT_VECTOR, random_floats(kWidth, 11), kWidth)),
        beta_(load(ops, FILBERT_VECTOR, random_floats(kWidth, 12), kWidth)),
        up_(load(ops, FILBERT_MATRIX, random_floats(inner * kWidth, 13, 0.1f), inner, kWidth)),
        up_bias_(load(ops, FILBERT_VECTOR, random_floats(inner, 14), inner)),
        down_(load(ops, FILBERT_MATRIX, random_floats(kWidth * inner, 15, 0.1f), kWidth, inner)),
        heads_(load(ops, FILBERT_MATRIX, random_floats(kWidth * kWidth, 18, 0.1f), kWidth, kWidth)),
        gated_(load_gated(ops, FILBERT_GATED_MATRIX, random_floats(2 * inner * kWidth, 16, 0.1f), inner, kWidth)),
        gated_bias_(load_gated(ops, FILBERT_GATED_VECTOR, random_floats(2 * inner, 17), inner)) {}

  std::vector<float> run(const std::vector<std::int32_t>& ids) const {
    const std::size_t tokens = ids.size();
    std::vector<float> x(tokens * kWidth), inner(tokens * inner_, NAN), y = x, sum = x, out = x, made = x;
    const auto width_norm = [&](filbert_norm_kind kind, const std::vector<float>& from, std::vector<float>& to,
                                filbert_readers readers) {
      const filbert_weight* beta = kind == FILBERT_LAYER_NORM ? beta_.get() : nullptr;
      return norm({kind, from.data(), gamma_.get(), beta, 1e-12f, kWidth, to.data(), nullptr}, readers);
    };
    ops_.token_ops(
        {embed({ids.data(), ids.data(), ids.data(), words_.get(), nullptr, words_.get(), kWidth, sum.data(), 1.0f,
                nullptr},
               FILBERT_NEXT_ALONE),
         width_norm(FILBERT_LAYER_NORM, sum, x, FILBERT_NEXT_AND_OTHERS),
         width_norm(FILBERT_RMS_NORM, x, y, FILBERT_NEXT_ALONE),
         linear({y.data(), up_.get(), up_bias_.get(), nullptr, FILBERT_GELU_ERF, inner.data(), 0}, FILBERT_NEXT_ALONE),
         linear({inner.data(), down_.get(), nullptr, x.data(), FILBERT_IDENTITY, sum.data(), 0}, FILBERT_NEXT_ALONE),
         width_norm(FILBERT_LAYER_NORM, sum, out, FILBERT_OTHERS),
         linear({out.data(), gated_.get(), gated_bias_.get(), nullptr, FILBERT_SILU, inner.data(), 0},
                FILBERT_NEXT_ALONE),
         linear({inner.data(), down_.get(), nullptr, x.data(), FILBERT_IDENTITY, sum.data(), 0}, FILBERT_NEXT_ALONE),
         linear({sum.data(), heads_.get(), beta_.get(), nullptr, FILBERT_IDENTITY, made.data(), kHeadSize}),
         head_norm(
             {FILBERT_RMS_NORM, {made.data(), kWidth, kHeadSize, tokens}, 3, kHeadSize, gamma_.get(), nullptr, 1}),
         rope({{made.data(), kWidth, 0, tokens}, 4, kHeadSize, ids.data(), gamma_.get(), 26})},
        tokens);
    std::vector<std::int32_t> bounds(tokens + 1);
    std::iota(bounds.begin(), bounds.end(), 0);
    const filbert_batch batch = {bounds.data(), nullptr, ids.data(), tokens, 1, nullptr, {}};
    const filbert_heads heads = {made.data(), kWidth, 0, tokens};
    std::vector<float> values(tokens * kWidth);
    filbert_attention_args attention = {};
    attention.batch = &batch;
    attention.q = attention.k = attention.v = heads;
    attention.heads = attention.kv_heads = kWidth / kHeadSize;
    attention.head_size = kHeadSize;
    attention.scale = 1;
    attention.out = values.data();
    ops_.attention(attention);
    return values;
  }

 private:
  inline static const std::vector<float> kWords = random_floats(kVocabulary * kWidth, 10);  // outlives the table

  const Ops& ops_;
  std::size_t inner_;
  WeightPtr words_, gamma_, beta_, up_, up_bias_, down_, heads_, gated_, gated_bias_;
};

struct ChainCase {
  filbert_dtype dtype;
  std::size_t inner;
};
// 896 is two slices and a part of one.
constexpr ChainCase kChains[] = {{FILBERT_F32, 290},  {FILBERT_F32, 320},  {FILBERT_F32, 896}, {FILBERT_BF16, 290},
                                 {FILBERT_BF16, 320}, {FILBERT_BF16, 896}, {FILBERT_I8, 290}};

std::size_t thread_rows(const std::string& isa, filbert_dtype dtype) {
  return linear_kernel(kernels_of(isa), dtype).thread_rows;
}

// An op in place, on x [rows, width] instead.
void run_on_floats(const std::string& isa, const filbert_token_op& op, std::size_t rows, std::size_t width,
                   std::vector<float>& x) {
  kernels_of(isa).rows.run(op, 0, rows, {}, {x.data(), width});
}

}  // namespace

// A few rows leave what is handed from one layer to the next in `inner`, many rows do not.
TEST_CASE("ops: invariance, a chain of token ops") {
  for (const auto& [isa, dtype] : distinct_linear())
    for (const auto& [of, inner] : kChains) {
      if (of != dtype) continue;
      CAPTURE(isa);
      CAPTURE(inner);
      CAPTURE(dtype);
      std::vector<std::vector<float>> alone;
      {
        const auto one = open_isa(isa, dtype, 1);
        const Chain chain(*one, inner);
        for (std::int32_t id = 0; id < static_cast<std::int32_t>(Chain::kVocabulary); ++id)
          alone.push_back(chain.run({id}));
      }
      constexpr std::size_t kMost = 200;
      std::vector<std::int32_t> ids(kMost);
      for (std::size_t i = 0; i < kMost; ++i) ids[i] = static_cast<std::int32_t>(i % Chain::kVocabulary);
      for (const int threads : {1, 3}) {
        const auto ops = open_isa(isa, dtype, threads);
        const Chain chain(*ops, inner);
        unsigned seed = 0;
        // Fewer than these are split by columns, as many by rows. On AMX three threads would take more than there are.
        const std::size_t many = thread_rows(isa, dtype) * static_cast<std::size_t>(threads);
        for (std::size_t rows : {std::size_t{2}, std::size_t{33}, many - 1, many, kMost}) {
          rows = std::min(rows, kMost);
          CAPTURE(threads);
          CAPTURE(rows);
          std::shuffle(ids.begin(), ids.end(), std::mt19937(++seed));
          const std::vector<float> together = chain.run({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(rows)});
          for (std::size_t row = 0; row < rows; ++row) {
            CAPTURE(row);
            REQUIRE(same_bits(slice(together, row * Chain::kWidth, Chain::kWidth),
                              alone[static_cast<std::size_t>(ids[row])]));
          }
        }
      }
    }
}

// Of few rows and of many; heads of whole vectors, of parts of one, and wider than a panel. The linear op that makes
// them reads what another one hands on, all at once or in slices.
TEST_CASE("ops: invariance, heads lie where attention reads them, as they come or normed and turned") {
  constexpr std::size_t kIn = 64, kInner = 512, kHeads = 4;
  for (const std::size_t head_size : {5u, 16u, 33u, 80u})
    for (const auto& [isa, dtype] : distinct_linear()) {
      const auto ops = open_isa(isa, dtype);
      const std::size_t many = 2 * thread_rows(isa, dtype) + 44;  // by rows, and the last share is not whole
      const LinearData first(many, kIn, kInner);
      LinearData second(first.rows, kInner, kHeads * head_size);
      second.x = LinearLayer(*ops, first).run(first.rows, true, false);
      const LinearLayer layer(*ops, second);
      const std::size_t width = second.out, rotary = head_size / 2 * 2;
      const WeightPtr widen = load(*ops, FILBERT_MATRIX, first.weight, first.out, first.in);
      const WeightPtr widen_bias = load(*ops, FILBERT_VECTOR, first.bias, first.out);
      const WeightPtr weight = load(*ops, FILBERT_MATRIX, second.weight, second.out, second.in);
      const WeightPtr bias = load(*ops, FILBERT_VECTOR, second.bias, second.out);
      const WeightPtr gamma = load(*ops, FILBERT_VECTOR, random_floats(width, 5), width);
      std::vector<std::int32_t> positions(second.rows);
      std::iota(positions.begin(), positions.end(), 0);
      for (const std::size_t rows : {std::size_t{20}, many})
        for (const bool turned : {false, true}) {
          CAPTURE(isa);
          CAPTURE(dtype);
          CAPTURE(head_size);
          CAPTURE(rows);
          CAPTURE(turned);
          std::vector<float> inner(rows * kInner), found(rows * width), expected = layer.run(rows, true, false);
          const filbert_token_op make =
              linear({first.x.data(), widen.get(), widen_bias.get(), nullptr, FILBERT_IDENTITY, inner.data(), 0},
                     FILBERT_NEXT_ALONE);
          const filbert_token_op project =
              linear({inner.data(), weight.get(), bias.get(), nullptr, FILBERT_IDENTITY, found.data(), head_size});
          // Of the second and third head, together and each.
          const filbert_heads some = {found.data(), width, head_size, rows};
          const filbert_token_op together =
              head_norm({FILBERT_RMS_NORM, some, 1, 2 * head_size, gamma.get(), nullptr, 1e-6f});
          const filbert_token_op each = head_norm({FILBERT_RMS_NORM, some, 2, head_size, gamma.get(), nullptr, 1e-6f});
          const filbert_token_op turn =
              rope({{found.data(), width, 0, rows}, 3, head_size, positions.data(), gamma.get(), rotary});
          if (turned) {
            ops->token_ops({make, project, together, each, turn}, rows);
            for (const filbert_token_op& op : {together, each, turn}) run_on_floats(isa, op, rows, width, expected);
          } else {
            ops->token_ops({make, project}, rows);
          }
          CHECK(same_bits(found, as_heads({isa, dtype}, expected, width, head_size)));
        }
    }
}

TEST_CASE("ops: invariance, ops in one call or one by one") {
  for (const std::size_t width : {140u, 512u}) {
    const LinearData data(300, width, width);
    for (const auto& [isa, dtype] : distinct_linear()) {
      const auto ops = open_isa(isa, dtype);
      const WeightPtr weight = load(*ops, FILBERT_MATRIX, data.weight, data.out, data.in);
      for (const std::size_t rows : {20u, 300u}) {
        CAPTURE(width);
        CAPTURE(isa);
        CAPTURE(dtype);
        CAPTURE(rows);
        std::vector<float> first(rows * data.out), second = first, third = first, expected;
        const auto multiply_by = [&](const std::vector<float>& x, std::vector<float>& y,
                                     filbert_readers readers = FILBERT_OTHERS) {
          return linear({x.data(), weight.get(), nullptr, nullptr, FILBERT_TANH, y.data(), 0}, readers);
        };
        ops->token_ops({multiply_by(data.x, first)}, rows);
        ops->token_ops({multiply_by(first, second)}, rows);
        ops->token_ops({multiply_by(second, third)}, rows);
        expected = third;
        for (const filbert_readers readers : {FILBERT_OTHERS, FILBERT_NEXT_AND_OTHERS, FILBERT_NEXT_ALONE}) {
          CAPTURE(readers);
          for (std::vector<float>* each : {&first, &second, &third}) std::fill(each->begin(), each->end(), NAN);
          ops->token_ops(
              {multiply_by(data.x, first, readers), multiply_by(first, second, readers), multiply_by(second, third)},
              rows);
          CHECK(same_bits(third, expected));
        }
      }
    }
  }
}

TEST_CASE("ops: invariance, attention") {
  const std::vector<std::int32_t> lengths = {33, 1, 160, 16, 2, 129, 64, 15, 128, 17};
  const AttentionShape shapes[] = {
      {.head_size = 7, .heads = 3, .kv_heads = 3},
      {.head_size = 32, .heads = 3, .kv_heads = 3},
      {.head_size = 64, .heads = 3, .kv_heads = 3},
      {.head_size = 32, .heads = 4, .kv_heads = 2, .causal = true},
      {.head_size = 64, .window = 5},
      {.head_size = 64, .window = 64, .holes = true},
      {.head_size = 64, .reach = 90},
      {.head_size = 16, .causal = true, .window = 50, .reach = 20, .holes = true},
      {.head_size = 32, .heads = 4, .kv_heads = 2, .window = 9, .masked_first = true, .holes = true},
  };
  for (const AttentionShape& shape : shapes) {
    // Sequences with the numbers that they have alone.
    const auto batch_of = [&](const std::vector<std::int32_t>& order) {
      AttentionData all(shape, order);
      all.take_sequences_of(order);
      return all;
    };
    std::vector<AttentionData> singles;
    for (const std::int32_t length : lengths) singles.push_back(batch_of({length}));
    AttentionData all = batch_of(lengths);
    for (const auto& [isa, dtype] : distinct_attention()) {
      std::vector<std::vector<float>> alone;
      const auto one = open_isa(isa, dtype, 1);
      for (AttentionData& single : singles) alone.push_back(run(*one, single, false).out);
      for (const int threads : {1, 3}) {
        const std::vector<float> together = run(*open_isa(isa, dtype, threads), all, false).out;
        std::size_t begin = 0;
        for (std::size_t s = 0; s < lengths.size(); ++s) {
          CAPTURE(isa);
          CAPTURE(dtype);
          CAPTURE(shape.head_size);
          CAPTURE(shape.window);
          CAPTURE(threads);
          CAPTURE(lengths[s]);
          REQUIRE(same_bits(slice(together, begin, alone[s].size()), alone[s]));
          begin += alone[s].size();
        }
      }
    }
  }
}
