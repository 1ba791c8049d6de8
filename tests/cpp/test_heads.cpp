// Heads with a row a token, tokens that are only queries, and scores of late interaction.
#include <doctest/doctest.h>
#include <filbert/filbert.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "floats.h"
#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// Of a vocabulary in three parts.
const std::string kWide =
    R"({"model_type":"bert","vocab_size":2500,"hidden_size":36,"num_hidden_layers":2,"num_attention_heads":3,)"
    R"("intermediate_size":70,"max_position_embeddings":64,"type_vocab_size":2})";

Model model_for(Task task, const std::string& config, int threads = 2) {
  LoadOptions options;
  options.task = task;
  options.threads = threads;
  return Model::create(config, random_weights(config, 1, task), options);
}

Texts texts_of(const std::vector<std::vector<std::int64_t>>& rows) {
  Texts texts;
  for (const auto& row : rows) texts.add(row);
  return texts;
}

}  // namespace

TEST_CASE("heads: a row a token, of all, of some, and the largest of a sequence") {
  const std::vector<std::vector<std::int64_t>> rows = random_texts(40, 3);
  const Texts texts = texts_of(rows);
  for (const int threads : {1, 2}) {
    const Model model = model_for(Task::masked_lm, kWide, threads);
    CHECK(model.info().head_per_token);
    CHECK(model.info().head_width == 2500);
    const std::size_t width = 2500;
    const Output all = model.forward(texts.batch());
    REQUIRE(all.head.size() == texts.ids.size() * width);

    ForwardOptions options;
    const std::vector<std::int64_t> wanted = {static_cast<std::int64_t>(texts.ids.size()) - 1, 0, 7, 0};
    options.head_tokens = wanted;
    const Output some = model.forward(texts.batch(), options);
    REQUIRE(some.head.size() == wanted.size() * width);
    for (std::size_t i = 0; i < wanted.size(); ++i)
      CHECK(std::equal(some.head.begin() + static_cast<std::ptrdiff_t>(i * width),
                       some.head.begin() + static_cast<std::ptrdiff_t>((i + 1) * width),
                       all.head.begin() + wanted[i] * static_cast<std::ptrdiff_t>(width)));

    options.head_tokens.emplace();
    const Output none = model.forward(texts.batch(), options);
    CHECK(none.head.empty());
    CHECK(none.last_hidden_state == all.last_hidden_state);

    std::vector<float> largest(rows.size() * width);
    model.max_head(texts.batch(), largest.data());
    for (std::size_t s = 0; s < rows.size(); ++s)
      for (std::size_t j = 0; j < width; j += 97) {
        float expected = -INFINITY;
        for (std::int64_t t = texts.cu_seqlens[s]; t < texts.cu_seqlens[s + 1]; ++t)
          expected = std::max(expected, all.head[static_cast<std::size_t>(t) * width + j]);
        CHECK(largest[s * width + j] == expected);
      }
  }
}

TEST_CASE("heads: bad tokens are named, and a head that has none refuses them") {
  const Texts texts = texts_of({{1, 2, 3}, {4}});
  const Model tags = model_for(Task::token_classification, kTinyConfig);
  CHECK(tags.forward(texts.batch()).head.size() == 4 * 2);
  ForwardOptions options;
  std::vector<std::int64_t> wanted = {0, 0};
  for (const std::int64_t place : {-1, 4}) {
    wanted[1] = place;
    options.head_tokens = wanted;
    CHECK_THROWS_WITH_AS(tags.forward(texts.batch(), options),
                         ("head_tokens[1]: found " + std::to_string(place) + ", but the batch has 4 places").c_str(),
                         InputError);
  }
  const Model texts_model = model_for(Task::sequence_classification, kTinyConfig);
  CHECK_THROWS_AS(texts_model.forward(texts.batch(), options), InputError);
  std::vector<float> out(4);
  CHECK_THROWS_AS(texts_model.max_head(texts.batch(), out.data()), InputError);
}

TEST_CASE("heads: tokens that are only queries change nothing for the others") {
  const std::vector<std::int64_t> text = {5, 6, 7, 8, 9}, filled = {5, 6, 7, 8, 9, 11, 11, 11};
  const Model model = tiny_model();
  const Texts alone = texts_of({text}), both = texts_of({filled, text});
  TokenBatch batch = both.batch();
  const std::vector<std::int64_t> query_only = {3, 0};
  batch.query_only = query_only.data();
  const std::vector<float> expected = model.forward(alone.batch()).last_hidden_state;
  const std::vector<float> found = model.forward(batch).last_hidden_state;
  CHECK(std::equal(expected.begin(), expected.end(), found.begin()));
  CHECK(std::equal(expected.begin(), expected.end(), found.begin() + 8 * 36));
  ForwardOptions options;
  options.attentions = true;
  CHECK_THROWS_AS(model.forward(batch, options), InputError);
  const std::vector<std::int64_t> all = {8, 0};
  batch.query_only = all.data();
  CHECK_THROWS_WITH_AS(model.forward(batch), "query_only 8 at sequence 0 is out of range; expected 0 to 7", InputError);
}

TEST_CASE("heads: gemma's padding is 0 where the configuration names none, and nothing where it says null") {
  const auto logits = [](const std::string& padding, const std::vector<std::int64_t>& text) {
    const Model model = model_for(
        Task::sequence_classification,
        R"({"model_type":"gemma3_text","vocab_size":101,"hidden_size":32,"num_hidden_layers":1,"head_dim":16,)"
        R"("num_attention_heads":2,"num_key_value_heads":1,"intermediate_size":48)" +
            padding + "}");
    return model.forward(texts_of({text}).batch()).head;
  };
  const std::vector<std::int64_t> padded = {5, 6, 0, 0};
  CHECK(logits("", padded) == logits("", {5, 6}));
  CHECK(logits(R"(,"pad_token_id":0)", padded) == logits("", padded));
  CHECK(logits(R"(,"pad_token_id":null)", padded) != logits("", padded));
}

TEST_CASE("heads: num_labels is what counts beside id2label") {
  const auto labels = [](const std::string& fields) {
    std::string config = kTinyConfig;
    config.insert(config.size() - 1, fields);
    return model_for(Task::sequence_classification, config).info().head_width;
  };
  CHECK(labels("") == 2);
  CHECK(labels(R"(,"id2label":{"0":"a","1":"b","2":"c"})") == 3);
  CHECK(labels(R"(,"num_labels":4,"id2label":{"0":"a","1":"b","2":"c"})") == 4);
}

TEST_CASE("maxsim: each vector's largest product, added up; empty sets give zeros") {
  for (const std::size_t width : {1, 7, 128}) {
    const std::vector<std::int64_t> queries = {0, 3, 3, 1030, 1039}, documents = {0, 5, 5, 6, 4110, 4300, 4303};
    const std::vector<float> asked = random_floats(1039 * width, 1), searched = random_floats(4303 * width, 2);
    std::vector<float> scores(4 * 6, NAN);
    maxsim({asked.data(), queries.data(), 4}, {searched.data(), documents.data(), 6}, width, scores.data(), 2);
    for (std::size_t q = 0; q < 4; ++q)
      for (std::size_t d = 0; d < 6; ++d) {
        double expected = 0;
        for (std::int64_t i = queries[q]; i < queries[q + 1]; ++i) {
          double largest = documents[d] == documents[d + 1] ? 0 : -INFINITY;
          for (std::int64_t j = documents[d]; j < documents[d + 1]; ++j) {
            const double product = dot(asked.data() + static_cast<std::size_t>(i) * width,
                                       searched.data() + static_cast<std::size_t>(j) * width, width);
            largest = std::max(largest, product);
          }
          expected += largest;
        }
        CHECK(scores[q * 6 + d] == doctest::Approx(expected).epsilon(1e-5));
        float alone = NAN;
        const std::vector<std::int64_t> of_query = {0, queries[q + 1] - queries[q]},
                                        of_document = {0, documents[d + 1] - documents[d]};
        maxsim({asked.data() + static_cast<std::size_t>(queries[q]) * width, of_query.data(), 1},
               {searched.data() + static_cast<std::size_t>(documents[d]) * width, of_document.data(), 1}, width, &alone,
               1);
        CHECK(alone == scores[q * 6 + d]);
      }
  }
  const std::vector<std::int64_t> bad = {0, 2, 1};
  float score = 0;
  const std::vector<std::int64_t> one = {0, 1};
  CHECK_THROWS_WITH_AS(maxsim({&score, bad.data(), 2}, {&score, one.data(), 1}, 1, &score),
                       "queries.bounds decreases from 2 to 1 at sequence 1", InputError);
  CHECK_THROWS_WITH_AS(maxsim({&score, one.data(), 1}, {&score, bad.data(), 2}, 1, &score),
                       "documents.bounds decreases from 2 to 1 at sequence 1", InputError);
}

TEST_CASE("maxsim: NaN is never the largest, vectors without numbers give zeros, and threads are checked at any size") {
  const float one = 1;
  const std::int64_t bounds[] = {0, 1}, three[] = {0, 3};
  for (const std::vector<float>& products : {std::vector<float>{5, NAN, 1}, {5, 1, NAN}, {NAN, 5, 1}, {NAN, NAN, 5}}) {
    float score = 0;
    maxsim({&one, bounds, 1}, {products.data(), three, 1}, 1, &score);
    CHECK(score == 5);
  }
  float scores[] = {NAN};
  maxsim({nullptr, three, 1}, {nullptr, three, 1}, 0, scores);
  CHECK(scores[0] == 0);
  CHECK_THROWS_AS(maxsim({&one, bounds, 1}, {&one, bounds, 1}, 1, scores, -5), InputError);
}
