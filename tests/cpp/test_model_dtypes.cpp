// Models in every precision: the promises that do not depend on it, and how near they come to float32.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "floats.h"
#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::i8};
constexpr std::size_t kHidden = 150;

// Wider than a block of the int8 rotation, and no multiple of anything.
const std::string kConfig =
    R"({"model_type":"bert","vocab_size":101,"hidden_size":150,"num_hidden_layers":2,"num_attention_heads":3,)"
    R"("intermediate_size":290,"max_position_embeddings":64,"type_vocab_size":2,"layer_norm_eps":1e-12})";

Model open(DType dtype, int threads = 2) { return tiny_model(threads, dtype, kConfig); }

std::vector<std::size_t> shuffled(std::size_t count, unsigned seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  return order;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("model: dtypes, a text has the same bits alone, in any batch, at any place, with any threads") {
  const auto texts = random_texts(60, 1);  // about 1,900 tokens: two passes
  for (const DType dtype : kDTypes) {
    CAPTURE(static_cast<int>(dtype));
    const Model one = open(dtype, 1);
    std::vector<Output> alone;
    for (const auto& text : texts) {
      Texts single;
      single.add(text);
      alone.push_back(one.forward(single.batch()));
    }
    for (const auto& [threads, size] : {std::pair{1, std::size_t{9}}, {2, texts.size()}, {3, texts.size()}, {3, 5}}) {
      CAPTURE(threads);
      CAPTURE(size);
      const Model model = open(dtype, threads);
      std::vector<std::size_t> order = shuffled(texts.size(), static_cast<unsigned>(threads));
      order.resize(size);
      Texts batch;
      for (const std::size_t i : order) batch.add(texts[i]);
      const Output together = model.forward(batch.batch());
      for (std::size_t place = 0; place < size; ++place) {
        const Output& expected = alone[order[place]];
        const auto begin = static_cast<std::size_t>(batch.cu_seqlens[place]) * kHidden;
        REQUIRE(same_bits(slice(together.last_hidden_state, begin, expected.last_hidden_state.size()),
                          expected.last_hidden_state));
        REQUIRE(same_bits(slice(together.head, place * kHidden, kHidden), expected.head));
      }
    }
  }
}

TEST_CASE("model: dtypes, the pooler's output and first rows alone have the bits they have beside all rows") {
  constexpr std::size_t kTexts = 60;
  Texts texts;
  for (const auto& text : random_texts(kTexts, 2)) texts.add(text);
  for (const DType dtype : kDTypes) {
    CAPTURE(static_cast<int>(dtype));
    const Model model = open(dtype);
    const Output together = model.forward(texts.batch());
    std::vector<float> pooled(kTexts * kHidden, NAN), first = pooled, unit = pooled;
    OutputBuffers buffers;
    buffers.head = pooled.data();
    model.forward(texts.batch(), buffers);
    CHECK(same_bits(pooled, together.head));
    model.embed(texts.batch(), Pooling::cls, false, first.data());
    model.embed(texts.batch(), Pooling::cls, true, unit.data());
    for (std::size_t s = 0; s < kTexts; ++s) {
      const auto token = static_cast<std::size_t>(texts.cu_seqlens[s]);
      const std::vector<float> row = slice(first, s * kHidden, kHidden), found = slice(unit, s * kHidden, kHidden);
      REQUIRE(same_bits(row, slice(together.last_hidden_state, token * kHidden, kHidden)));
      CHECK(cosine(row, found) == doctest::Approx(1.0).epsilon(1e-6));
      CHECK(std::inner_product(found.begin(), found.end(), found.begin(), 0.0) == doctest::Approx(1.0).epsilon(1e-6));
    }
  }
}

TEST_CASE("model: dtypes, the pooler's output alone where first tokens are masked") {
  constexpr std::size_t kRows = 30, kColumns = 20;
  std::vector<std::int64_t> ids;
  for (const auto& text : random_texts(600, 3, 1)) ids.push_back(text[0]);
  std::vector<std::uint8_t> mask(kRows * kColumns, 1);
  for (std::size_t row = 0; row < kRows; ++row)
    std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(row * kColumns), row % 5, std::uint8_t{0});
  PaddedBatch batch;
  batch.ids = ids.data();
  batch.rows = kRows;
  batch.columns = kColumns;
  batch.attention_mask = mask.data();
  for (const DType dtype : kDTypes) {
    CAPTURE(static_cast<int>(dtype));
    const Model model = open(dtype);
    std::vector<float> last(kRows * kColumns * kHidden, NAN), beside(kRows * kHidden, NAN), alone = beside;
    OutputBuffers buffers;
    buffers.head = alone.data();
    model.forward(batch, buffers);
    buffers.head = beside.data();
    buffers.last_hidden_state = last.data();
    model.forward(batch, buffers);
    CHECK(same_bits(alone, beside));
    CHECK_FALSE(std::any_of(alone.begin(), alone.end(), [](float value) { return std::isnan(value); }));
  }
}

TEST_CASE("model: dtypes, low precisions are near to float32 and are not it") {
  Texts texts;
  for (const auto& text : random_texts(50, 4)) texts.add(text);
  const Output exact = open(DType::f32).forward(texts.batch());
  // Random weights of size 0.2 are no trained model: what must hold is that nothing but rounding separates them.
  for (const auto& [dtype, nearest] : {std::pair{DType::bf16, 0.9995}, std::pair{DType::i8, 0.995}}) {
    CAPTURE(static_cast<int>(dtype));
    const Output found = open(dtype).forward(texts.batch());
    CHECK(found.last_hidden_state != exact.last_hidden_state);
    for (std::size_t token = 0; token < texts.ids.size(); ++token)
      REQUIRE(cosine(slice(found.last_hidden_state, token * kHidden, kHidden),
                     slice(exact.last_hidden_state, token * kHidden, kHidden)) > nearest);
  }
}
