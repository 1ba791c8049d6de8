// The promise of the library, op by op: a token's result has the same bits alone, in any batch, at any place, with any
// number of threads.
#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// What follows attention in a layer of BERT, with an embedding before it. Widths that are no multiple of anything, and
// with whole blocks of the int8 rotation.
class Chain {
 public:
  static constexpr std::size_t kWidth = 150, kVocabulary = 200;

  Chain(const Ops& ops, std::size_t inner)
      : ops_(ops),
        inner_(inner),
        words_(load(ops, FILBERT_TABLE, kWords, kVocabulary, kWidth)),
        gamma_(load(ops, FILBERT_VECTOR, random_floats(kWidth, 11), kWidth)),
        beta_(load(ops, FILBERT_VECTOR, random_floats(kWidth, 12), kWidth)),
        up_(load(ops, FILBERT_MATRIX, random_floats(inner * kWidth, 13, 0.1f), inner, kWidth)),
        up_bias_(load(ops, FILBERT_VECTOR, random_floats(inner, 14), inner)),
        down_(load(ops, FILBERT_MATRIX, random_floats(kWidth * inner, 15, 0.1f), kWidth, inner)) {}

  std::vector<float> run(const std::vector<std::int32_t>& ids) const {
    const std::size_t tokens = ids.size();
    std::vector<float> x(tokens * kWidth), inner(tokens * inner_, NAN), y = x, sum = x, out = x;
    const auto width_norm = [&](const std::vector<float>& from, std::vector<float>& to) {
      return norm({from.data(), gamma_.get(), beta_.get(), 1e-12f, kWidth, to.data()});
    };
    ops_.token_ops(
        {embed_norm({ids.data(), ids.data(), ids.data(), words_.get(), nullptr, words_.get(), gamma_.get(), beta_.get(),
                     1e-12f, kWidth, x.data()}),
         width_norm(x, y), linear({y.data(), up_.get(), up_bias_.get(), nullptr, FILBERT_GELU_ERF, inner.data(), 1}),
         linear({inner.data(), down_.get(), nullptr, x.data(), FILBERT_IDENTITY, sum.data(), 0}), width_norm(sum, out)},
        tokens);
    return out;
  }

 private:
  inline static const std::vector<float> kWords = random_floats(kVocabulary * kWidth, 10);  // outlives the table

  const Ops& ops_;
  std::size_t inner_;
  WeightPtr words_, gamma_, beta_, up_, up_bias_, down_;
};

struct ChainCase {
  filbert_dtype dtype;
  std::size_t inner;
};
constexpr ChainCase kChains[] = {{FILBERT_F32, 290}, {FILBERT_BF16, 290}, {FILBERT_BF16, 320}, {FILBERT_I8, 290}};

}  // namespace

// A few rows leave what is handed from one layer to the next in `inner`, many rows do not.
TEST_CASE("ops: invariance, a chain of token ops") {
  for (const std::string& isa : isas())
    for (const auto [dtype, inner] : kChains) {
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
      std::vector<std::int32_t> ids(Chain::kVocabulary);
      std::iota(ids.begin(), ids.end(), 0);
      for (const int threads : {1, 2, 3}) {
        const auto ops = open_isa(isa, dtype, threads);
        const Chain chain(*ops, inner);
        unsigned seed = 0;
        // Below and above 48 rows a thread: all columns of a few rows, and a few columns of all rows.
        for (const std::size_t rows : {2u, 15u, 33u, 47u, 48u, 95u, 96u, 97u, 143u, 144u, 145u, 200u}) {
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

TEST_CASE("ops: invariance, ops in one call or one by one") {
  const LinearData data(150, 140, 140);
  for (const std::string& isa : isas())
    for (const filbert_dtype dtype : kComputeTypes) {
      const auto ops = open_isa(isa, dtype);
      const WeightPtr weight = load(*ops, FILBERT_MATRIX, data.weight, data.out, data.in);
      for (const std::size_t rows : {20u, 150u}) {
        CAPTURE(isa);
        CAPTURE(dtype);
        CAPTURE(rows);
        std::vector<float> inner(rows * data.out), out = inner, again = inner;
        const auto multiply_by = [&](const std::vector<float>& x, std::vector<float>& y, int transient = 0) {
          return linear({x.data(), weight.get(), nullptr, nullptr, FILBERT_TANH, y.data(), transient});
        };
        ops->token_ops({multiply_by(data.x, inner)}, rows);
        ops->token_ops({multiply_by(inner, again)}, rows);
        for (const int transient : {0, 1}) {
          CAPTURE(transient);
          std::fill(inner.begin(), inner.end(), NAN);
          ops->token_ops({multiply_by(data.x, inner, transient), multiply_by(inner, out)}, rows);
          CHECK(same_bits(out, again));
        }
      }
    }
}

TEST_CASE("ops: invariance, attention") {
  constexpr std::size_t kHeads = 3;
  const std::vector<std::size_t> lengths = {1, 2, 15, 16, 17, 33, 64, 127, 128, 129, 300};
  for (const std::size_t head_size : {7u, 32u, 64u}) {
    const std::size_t hidden = kHeads * head_size;
    const auto attend = [&](const Ops& ops, const std::vector<std::size_t>& order) {
      std::vector<float> qkv;
      std::vector<std::int32_t> cu = {0};
      std::size_t longest = 0;
      for (const std::size_t length : order) {
        const std::vector<float> own = random_floats(length * 3 * hidden, static_cast<unsigned>(length));
        qkv.insert(qkv.end(), own.begin(), own.end());
        cu.push_back(cu.back() + static_cast<std::int32_t>(length));
        longest = std::max(longest, length);
      }
      std::vector<float> out(static_cast<std::size_t>(cu.back()) * hidden, NAN);
      ops.attention({qkv.data(), cu.data(), nullptr, order.size(), longest, kHeads, head_size, 0.2f, 0, out.data(),
                     nullptr, nullptr});
      return out;
    };
    for (const std::string& isa : isas())
      for (const filbert_dtype dtype : kComputeTypes) {
        std::vector<std::vector<float>> alone(lengths.back() + 1);
        const auto one = open_isa(isa, dtype, 1);
        for (const std::size_t length : lengths) alone[length] = attend(*one, {length});
        for (const int threads : {1, 2, 3}) {
          const auto ops = open_isa(isa, dtype, threads);
          std::vector<std::size_t> order = lengths;
          std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(threads)));
          const std::vector<float> together = attend(*ops, order);
          std::size_t begin = 0;
          for (const std::size_t length : order) {
            CAPTURE(isa);
            CAPTURE(dtype);
            CAPTURE(head_size);
            CAPTURE(threads);
            CAPTURE(length);
            REQUIRE(same_bits(slice(together, begin, length * hidden), alone[length]));
            begin += length * hidden;
          }
        }
      }
  }
}
