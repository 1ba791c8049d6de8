// Mixtures of experts on every instruction set.
#include <doctest/doctest.h>

#include <numeric>

#include "experts_case.h"
#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// The data in the memory of a backend.
class Mixture {
 public:
  Mixture(const Ops& ops, const ExpertsData& data)
      : ops_(ops),
        data_(data),
        router_(load(ops, FILBERT_TABLE, data.router, data.experts, data.width)),
        bias_(load(ops, FILBERT_VECTOR, data.bias, data.width)) {
    for (std::size_t e = 0; e < data.experts; ++e) {
      owned_.push_back(load(ops, FILBERT_MATRIX, data.up[e], data.inner, data.width));
      up_.push_back(owned_.back().get());
      owned_.push_back(load(ops, FILBERT_MATRIX, data.down[e], data.width, data.inner));
      down_.push_back(owned_.back().get());
    }
  }

  // Of rows of x and residual.
  std::vector<float> run(const std::vector<std::size_t>& rows) const {
    std::vector<float> x, residual;
    for (const std::size_t row : rows) {
      const std::vector<float> own = slice(data_.x, row * data_.width, data_.width);
      const std::vector<float> more = slice(data_.residual, row * data_.width, data_.width);
      x.insert(x.end(), own.begin(), own.end());
      residual.insert(residual.end(), more.begin(), more.end());
    }
    filbert_experts_args args = {nullptr, rows.size(),   router_.get(), up_.data(),       down_.data(), bias_.get(),
                                 nullptr, data_.experts, data_.top_k,   FILBERT_GELU_ERF, nullptr,      nullptr};
    const std::size_t bytes = ops_.experts_memory(args);
    std::vector<float> out(x.size() + 1, 7.0f);
    args.x = x.data();
    args.residual = residual.data();
    args.out = out.data();
    args.memory = ops_.alloc(bytes);
    std::memset(args.memory, 0xff, bytes);  // NaN
    ops_.experts(args);
    ops_.free(args.memory);
    CHECK(out.back() == 7.0f);
    out.pop_back();
    return out;
  }
  std::vector<float> run() const {
    std::vector<std::size_t> rows(data_.tokens);
    std::iota(rows.begin(), rows.end(), 0);
    return run(rows);
  }

  // [width] what one expert makes of one token, by the ops of any other layer.
  std::vector<float> given(std::size_t expert, std::size_t token) const {
    std::vector<float> inner(data_.inner), out(data_.width);
    const float* x = &data_.x[token * data_.width];
    ops_.token_ops({linear({x, up_[expert], nullptr, nullptr, FILBERT_GELU_ERF, inner.data(), 0}, FILBERT_NEXT_ALONE),
                    linear({inner.data(), down_[expert], nullptr, nullptr, FILBERT_IDENTITY, out.data(), 0})},
                   1);
    return out;
  }

 private:
  const Ops& ops_;
  const ExpertsData& data_;
  WeightPtr router_, bias_;
  std::vector<WeightPtr> owned_;
  std::vector<const filbert_weight*> up_, down_;
};

// x [tokens, 1] = 1, so that a router [experts] is the logits; expert e gives e + 1 for every token, without
// activation.
std::vector<float> mix_numbers(const Ops& ops, const std::vector<float>& logits, std::size_t top_k) {
  ExpertsData data(1, 1, 1, logits.size(), top_k);
  data.x = {1.0f};
  data.residual = data.bias = {0.0f};
  data.router = logits;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    data.up[e] = {40.0f};  // GELU leaves it as it is
    data.down[e] = {static_cast<float>(e + 1) / 40.0f};
  }
  return Mixture(ops, data).run();
}

}  // namespace

TEST_CASE("ops: experts against loops in double, odd sizes") {
  const ExpertsData cases[] = {{1, 1, 1, 1, 1},     {5, 7, 3, 2, 1},       {19, 33, 50, 3, 3},
                               {70, 48, 129, 8, 2}, {130, 20, 512, 17, 4}, {3, 100, 64, 33, 2}};
  for (const ExpertsData& data : cases) {
    const std::vector<float> expected = data.expected();
    for (const std::string& isa : isas()) {
      CAPTURE(isa);
      CAPTURE(data.experts);
      const auto ops = open_isa(isa);
      CHECK(difference(Mixture(*ops, data).run(), expected) < 2e-6);
    }
  }
}

// What an expert gives is rounded, which one is asked is not.
TEST_CASE("ops: experts of every dtype are those that float32 chooses, and give what two linear ops do") {
  const ExpertsData data(90, 70, 96, 8, 2);
  for (const auto& [isa, dtype] : distinct_linear()) {
    CAPTURE(isa);
    CAPTURE(dtype);
    const auto ops = open_isa(isa, dtype);
    const Mixture mixture(*ops, data);
    const std::vector<float> expected =
        data.expected([&](std::size_t expert, std::size_t token) { return mixture.given(expert, token); });
    CHECK(difference(mixture.run(), expected) < 2e-6);
  }
}

TEST_CASE("ops: experts, shares by hand") {
  const float two = std::log(2.0f), three = std::log(3.0f);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const auto ops = open_isa(isa);
    // p = 1/6, 3/6, 2/6, which are not made to sum up to 1: 3/6 * 2, then + 2/6 * 3, then + 1/6 * 1
    CHECK(std::abs(mix_numbers(*ops, {0, three, two}, 1)[0] - 1.0f) < 1e-6f);
    CHECK(std::abs(mix_numbers(*ops, {0, three, two}, 2)[0] - 2.0f) < 1e-6f);
    CHECK(std::abs(mix_numbers(*ops, {0, three, two}, 3)[0] - 13.0f / 6) < 1e-6f);
    // Of equals the first.
    CHECK(std::abs(mix_numbers(*ops, {0, 0, 0, 0}, 1)[0] - 0.25f) < 1e-6f);
    CHECK(std::abs(mix_numbers(*ops, {0, two, 0, two}, 3)[0] - (1 + 2 * 2 + 2 * 4) / 6.0f) < 1e-6f);
    CHECK(std::abs(mix_numbers(*ops, {1000, -1000, 999.5f}, 1)[0] - 1 / (1 + std::exp(-0.5f))) < 1e-6f);
  }
}

TEST_CASE("ops: experts, a row of NaN is one, and changes no other") {
  ExpertsData data(20, 30, 40, 8, 2);
  for (const std::string& isa : isas()) {
    CAPTURE(isa);
    const auto ops = open_isa(isa);
    const std::vector<float> expected = Mixture(*ops, data).run();
    ExpertsData spoiled = data;
    std::fill_n(spoiled.x.begin() + 5 * 30, 30, NAN);
    const std::vector<float> found = Mixture(*ops, spoiled).run();
    CHECK(same_bits(slice(found, 0, 5 * 30), slice(expected, 0, 5 * 30)));
    CHECK(same_bits(slice(found, 6 * 30, 14 * 30), slice(expected, 6 * 30, 14 * 30)));
    for (const float value : slice(found, 5 * 30, 30)) CHECK(std::isnan(value));
  }
}

TEST_CASE("ops: invariance, experts") {
  constexpr std::size_t kRows = 67;
  for (const auto& [isa, dtype] : distinct_linear()) {
    CAPTURE(isa);
    CAPTURE(dtype);
    for (const std::size_t inner : {100u, 896u}) {  // in one piece, and in slices
      CAPTURE(inner);
      const ExpertsData data(kRows, 150, inner, 4, 2);
      std::vector<std::vector<float>> alone;
      {
        const auto one = open_isa(isa, dtype, 1);
        const Mixture mixture(*one, data);
        for (std::size_t row = 0; row < kRows; ++row) alone.push_back(mixture.run({row}));
      }
      for (const int threads : {1, 3}) {
        const auto ops = open_isa(isa, dtype, threads);
        const Mixture mixture(*ops, data);
        for (const std::size_t count : {2u, 33u, 500u}) {  // split by columns, and by rows
          std::vector<std::size_t> rows(count);
          for (std::size_t i = 0; i < count; ++i) rows[i] = i * 31 % kRows;
          const std::vector<float> together = mixture.run(rows);
          CAPTURE(threads);
          CAPTURE(count);
          for (std::size_t i = 0; i < count; ++i)
            REQUIRE(same_bits(slice(together, i * data.width, data.width), alone[rows[i]]));
        }
      }
    }
  }
}

TEST_CASE("ops: experts of no tokens") {
  const ExpertsData data(1, 8, 8, 3, 2);
  const auto ops = open_isa("scalar");
  CHECK(Mixture(*ops, data).run({}).empty());
}
