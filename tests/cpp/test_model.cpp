#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <thread>

#include "count_allocations.h"
#include "floats.h"
#include "make_safetensors.h"
#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

Output run_one(const Model& model, const std::vector<std::int64_t>& text, bool everything = false) {
  Texts texts;
  texts.add(text);
  ForwardOptions options;
  options.hidden_states = options.attentions = everything;
  return model.forward(texts.batch(), options);
}

constexpr std::size_t kHidden = 36, kHeads = 3, kLayers = 2;

}  // namespace

TEST_CASE("model: a text has the same bits alone, in any batch, at any place, with any threads") {
  const auto texts = random_texts(200, 1);  // about 6,500 tokens: several passes
  const Model one = tiny_model(1);
  std::vector<Output> alone;
  for (const auto& text : texts) alone.push_back(run_one(one, text, true));
  for (const int threads : {1, 2, 5}) {
    const Model model = tiny_model(threads);
    std::vector<std::size_t> order(texts.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(threads)));
    Texts batch;
    for (const std::size_t i : order) batch.add(texts[i]);
    ForwardOptions options;
    options.hidden_states = options.attentions = true;
    const Output together = model.forward(batch.batch(), options);
    std::size_t square = 0;
    for (std::size_t place = 0; place < order.size(); ++place) {
      const Output& expected = alone[order[place]];
      const std::size_t length = texts[order[place]].size();
      const auto begin = static_cast<std::size_t>(batch.cu_seqlens[place]) * kHidden;
      REQUIRE(slice(together.last_hidden_state, begin, length * kHidden) == expected.last_hidden_state);
      REQUIRE(slice(together.head, place * kHidden, kHidden) == expected.head);
      for (std::size_t layer = 0; layer <= kLayers; ++layer)
        REQUIRE(slice(together.hidden_states[layer], begin, length * kHidden) == expected.hidden_states[layer]);
      for (std::size_t layer = 0; layer < kLayers; ++layer)
        REQUIRE(slice(together.attentions[layer], square, kHeads * length * length) == expected.attentions[layer]);
      square += kHeads * length * length;
    }
  }
}

TEST_CASE("model: a folder with token vectors alone needs no configuration, and texts may be of any length") {
  const TemporaryFolder folder;
  folder.write("model.safetensors", make_safetensors({{"embedding.weight", {3, 2}}}));
  const Model model = Model::load(folder.path());
  CHECK(model.info().model_type == "model2vec");
  CHECK(model.info().vocabulary == 3);
  CHECK(model.info().hidden_size == 2);
  Texts texts;
  texts.add(std::vector<std::int64_t>(100000, 2));
  texts.add({});
  std::vector<float> vectors(4, 1.0f);
  model.embed(texts.batch(), Pooling::mean, false, vectors.data());
  CHECK(vectors == std::vector<float>(4, 0.0f));  // as the tensor is
  CHECK_THROWS_AS(Model::load(folder.path() + "/none"), FileError);
}

TEST_CASE("model: padding on either side of a batch changes no bit, and its rows are zero") {
  const Model model = tiny_model();
  const auto texts = random_texts(40, 2, 20);
  constexpr std::size_t kColumns = 25;
  for (const bool left : {false, true}) {
    std::vector<std::int64_t> ids(texts.size() * kColumns, 7), positions(ids.size(), 0);
    std::vector<std::uint8_t> mask(ids.size(), 0);
    for (std::size_t r = 0; r < texts.size(); ++r) {
      const std::size_t offset = r * kColumns + (left ? kColumns - texts[r].size() : 0);
      for (std::size_t i = 0; i < texts[r].size(); ++i) {
        ids[offset + i] = texts[r][i];
        positions[offset + i] = static_cast<std::int64_t>(i);
        mask[offset + i] = 1;
      }
    }
    std::vector<float> out(ids.size() * kHidden, NAN), attention(texts.size() * kHeads * kColumns * kColumns, NAN);
    std::vector<float> other = attention;
    OutputBuffers buffers;
    buffers.last_hidden_state = out.data();
    buffers.attentions = {attention.data(), other.data()};
    PaddedBatch batch;
    batch.ids = ids.data();
    batch.rows = texts.size();
    batch.columns = kColumns;
    batch.attention_mask = mask.data();
    batch.position_ids = positions.data();
    model.forward(batch, buffers);
    for (std::size_t r = 0; r < texts.size(); ++r) {
      const Output expected = run_one(model, texts[r], true);
      const std::size_t first = left ? kColumns - texts[r].size() : 0;
      std::size_t token = 0;
      for (std::size_t c = 0; c < kColumns; ++c) {
        const std::vector<float> row = slice(out, (r * kColumns + c) * kHidden, kHidden);
        if (mask[r * kColumns + c])
          REQUIRE(row == slice(expected.last_hidden_state, token++ * kHidden, kHidden));
        else
          REQUIRE(row == std::vector<float>(kHidden, 0.0f));
      }
      const std::size_t length = texts[r].size();
      for (std::size_t h = 0; h < kHeads; ++h)
        for (std::size_t q = 0; q < kColumns; ++q)
          for (std::size_t k = 0; k < kColumns; ++k) {
            const bool inside = q >= first && q < first + length && k >= first && k < first + length;
            const float probability = attention[((r * kHeads + h) * kColumns + q) * kColumns + k];
            if (inside)
              REQUIRE(probability == expected.attentions[0][(h * length + q - first) * length + k - first]);
            else
              REQUIRE(probability == 0.0f);
          }
    }
  }
}

TEST_CASE("model: hidden states begin at the embeddings and end at the output; attention rows sum to one") {
  const Model model = tiny_model();
  const Output out = run_one(model, {3, 1, 4, 1, 5, 9, 2, 6}, true);
  CHECK(out.hidden_states.size() == kLayers + 1);
  CHECK(out.hidden_states.back() == out.last_hidden_state);
  CHECK(out.hidden_states.front() != out.last_hidden_state);
  for (const auto& layer : out.attentions)
    for (std::size_t row = 0; row < kHeads * 8; ++row)
      CHECK(std::accumulate(&layer[row * 8], &layer[row * 8] + 8, 0.0f) == doctest::Approx(1.0).epsilon(1e-6));
}

TEST_CASE("model: of hidden states and attentions, those are written that have a buffer") {
  const Model model = tiny_model();
  const std::vector<std::int64_t> text = {3, 1, 4, 1, 5, 9, 2, 6};
  const Output expected = run_one(model, text, true);
  Texts texts;
  texts.add(text);
  std::vector<float> states(8 * kHidden), probabilities(kHeads * 8 * 8);
  OutputBuffers buffers;
  buffers.hidden_states = {nullptr, states.data(), nullptr};
  buffers.attentions = {nullptr, probabilities.data()};
  model.forward(texts.batch(), buffers);
  CHECK(states == expected.hidden_states[1]);
  CHECK(probabilities == expected.attentions[1]);
  const std::vector<std::uint8_t> mask = {0, 1, 1, 1, 1, 1, 1, 1};
  PaddedBatch padded;
  padded.ids = text.data();
  padded.rows = 1;
  padded.columns = 8;
  padded.attention_mask = mask.data();
  model.forward(padded, buffers);
  CHECK(std::count(states.begin(), states.end(), 0.0f) == kHidden);  // of the masked token
  buffers.hidden_states.pop_back();
  CHECK_THROWS_WITH_AS(model.forward(texts.batch(), buffers), "hidden_states: found 2 buffers, expected none or 3",
                       InputError);
  buffers.hidden_states.clear();
  buffers.attentions.push_back(nullptr);
  CHECK_THROWS_WITH_AS(model.forward(texts.batch(), buffers), "attentions: found 3 buffers, expected none or 2",
                       InputError);
}

TEST_CASE("model: steady state allocates nothing") {
  Texts texts;
  for (const auto& text : random_texts(60, 3)) texts.add(text);  // two passes
  std::vector<float> last(texts.ids.size() * kHidden), pooled(60 * kHidden), embedded(60 * kHidden);
  std::vector<std::uint8_t> mask(texts.ids.size(), 1);
  mask[0] = 0;
  OutputBuffers buffers, only_pooled;
  buffers.last_hidden_state = last.data();
  buffers.head = only_pooled.head = pooled.data();
  PaddedBatch padded;
  padded.ids = texts.ids.data();
  padded.rows = texts.ids.size() / 50;
  padded.columns = 50;
  padded.attention_mask = mask.data();
  for (const DType dtype : {DType::f32, DType::bf16, DType::i8}) {
    CAPTURE(static_cast<int>(dtype));
    const Model model = tiny_model(2, dtype);
    const auto call = [&] {
      model.forward(texts.batch(), buffers);
      model.forward(texts.batch(), only_pooled);
      model.forward(padded, buffers);
      model.embed(texts.batch(), Pooling::mean, true, embedded.data());
      model.embed(texts.batch(), Pooling::cls, false, embedded.data());
    };
    call();
    call();
    const std::size_t before = allocation_count();
    for (int i = 0; i < 2; ++i) call();
    CHECK(allocation_count() == before);
  }
}

TEST_CASE("model: steady state with mixtures of experts allocates nothing, and a text has the same bits alone") {
  const std::string config =
      R"({"model_type":"nomic_bert","vocab_size":101,"n_embd":36,"n_layer":4,"n_head":3,"n_inner":70,"n_positions":64,)"
      R"("type_vocab_size":1,"layer_norm_epsilon":1e-5,"activation_function":"gelu","rotary_emb_base":10000,)"
      R"("rotary_emb_fraction":1,"qkv_proj_bias":true,"mlp_fc1_bias":true,"mlp_fc2_bias":true,"num_experts":8,)"
      R"("moe_top_k":2,"moe_every_n_layers":2})";
  Texts texts;
  for (const auto& text : random_texts(60, 3)) texts.add(text);  // two passes
  std::vector<float> last(texts.ids.size() * kHidden), first(60 * kHidden), alone(60 * kHidden);
  OutputBuffers buffers;
  buffers.last_hidden_state = last.data();
  for (const DType dtype : {DType::f32, DType::bf16, DType::i8}) {
    CAPTURE(static_cast<int>(dtype));
    const Model model = tiny_model(2, dtype, config);
    const auto call = [&] {
      model.forward(texts.batch(), buffers);
      model.embed(texts.batch(), Pooling::cls, false, first.data());
    };
    call();
    call();
    const std::size_t before = allocation_count();
    for (int i = 0; i < 2; ++i) call();
    CHECK(allocation_count() == before);
    const Model one = tiny_model(1, dtype, config);
    const auto own = random_texts(60, 3);
    for (std::size_t s = 0; s < 60; ++s) {
      Texts text;
      text.add(own[s]);
      one.embed(text.batch(), Pooling::cls, false, &alone[s * kHidden]);
      CHECK(same_bits(run_one(one, own[s]).last_hidden_state,
                      slice(last, static_cast<std::size_t>(texts.cu_seqlens[s]) * kHidden, own[s].size() * kHidden)));
    }
    CHECK(same_bits(alone, first));
  }
}

TEST_CASE("model: embed pools what forward gives") {
  const Model model = tiny_model();
  Texts texts;
  for (const auto& text : random_texts(30, 4)) texts.add(text);
  texts.add({});  // an empty sequence gives zeros
  const Output out = model.forward(texts.batch());
  std::vector<float> mean(31 * kHidden, NAN), first = mean, unit = mean;
  model.embed(texts.batch(), Pooling::mean, false, mean.data());
  model.embed(texts.batch(), Pooling::cls, false, first.data());
  model.embed(texts.batch(), Pooling::mean, true, unit.data());
  for (std::size_t s = 0; s < 30; ++s) {
    const auto begin = static_cast<std::size_t>(texts.cu_seqlens[s]),
               end = static_cast<std::size_t>(texts.cu_seqlens[s + 1]);
    CHECK(slice(first, s * kHidden, kHidden) == slice(out.last_hidden_state, begin * kHidden, kHidden));
    double length = 0;
    for (std::size_t j = 0; j < kHidden; ++j) {
      double sum = 0;
      for (std::size_t t = begin; t < end; ++t) sum += out.last_hidden_state[t * kHidden + j];
      CHECK(mean[s * kHidden + j] == doctest::Approx(sum / static_cast<double>(end - begin)).epsilon(1e-5));
      length += static_cast<double>(unit[s * kHidden + j]) * unit[s * kHidden + j];
    }
    CHECK(length == doctest::Approx(1.0).epsilon(1e-6));
  }
  CHECK(slice(mean, 30 * kHidden, kHidden) == std::vector<float>(kHidden, 0.0f));
}

TEST_CASE("model: empty batches and sequences") {
  const Model model = tiny_model();
  Texts nothing;
  CHECK(model.forward(nothing.batch()).last_hidden_state.empty());
  TokenBatch null;
  CHECK(model.forward(null).head.empty());
  Texts texts;
  texts.add({});
  texts.add({5, 6});
  texts.add({});
  const Output out = model.forward(texts.batch());
  CHECK(slice(out.head, 0, kHidden) == std::vector<float>(kHidden, 0.0f));
  CHECK(slice(out.head, kHidden, kHidden) == run_one(model, {5, 6}).head);
}

TEST_CASE("model: bad inputs are named, and the model works afterwards") {
  const Model model = tiny_model();
  const Output before = run_one(model, {1, 2, 3});
  const auto message = [&](const TokenBatch& batch) { return message_of<InputError>([&] { model.forward(batch); }); };
  Texts texts;
  texts.add({1, 2});
  texts.add({3, 101, 4});
  CHECK(message(texts.batch()) == "token id 101 at sequence 1, position 1 is out of range; expected 0 to 100");
  texts.ids[3] = -1;
  CHECK(contains(message(texts.batch()), "token id -1 at sequence 1, position 1"));
  texts.ids[3] = std::int64_t{1} << 40;
  CHECK(contains(message(texts.batch()), "token id 1099511627776"));
  texts.ids[3] = 1;
  TokenBatch batch = texts.batch();
  const std::vector<std::int64_t> ones = {0, 1, 2, 0, 0};
  batch.token_type_ids = ones.data();
  CHECK(contains(message(batch), "token type 2 at sequence 1, position 0 is out of range; expected 0 to 1"));
  batch.token_type_ids = nullptr;
  const std::vector<std::int64_t> positions = {0, 63, 64, 0, 0};
  batch.position_ids = positions.data();
  CHECK(contains(message(batch), "position id 64 at sequence 1, position 0"));
  Texts long_text;
  long_text.add(std::vector<std::int64_t>(65, 1));
  CHECK(contains(message(long_text.batch()), "has 65 tokens, but the model has 64 positions; truncate"));
  for (const auto& bounds : {std::vector<std::int64_t>{0, 3, 2},
                             {1, 2, 5},
                             {0, -1, 5},
                             {0, INT64_MAX, INT64_MIN},
                             {0, 3, INT64_MAX},
                             {0, 3, std::int64_t{1} << 60}}) {
    TokenBatch wrong = texts.batch();
    wrong.cu_seqlens = bounds.data();
    CHECK(contains(message(wrong), "cu_seqlens"));
  }
  CHECK(run_one(model, {1, 2, 3}).last_hidden_state == before.last_hidden_state);
}

TEST_CASE("model: many threads on one model get the serial bits") {
  const Model model = tiny_model();
  const auto texts = random_texts(64, 5);
  std::vector<std::vector<float>> serial;
  for (const auto& text : texts) serial.push_back(run_one(model, text).last_hidden_state);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 64; ++caller)
    callers.emplace_back([&, caller] {
      for (std::size_t i = 0; i < 8; ++i) {
        const std::size_t text = (caller + i * 7) % texts.size();
        if (run_one(model, texts[text]).last_hidden_state != serial[text]) wrong.fetch_add(1);
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("model: an interrupted forward stops between passes and leaves the model usable") {
  const Model model = tiny_model();
  Texts texts;
  for (const auto& text : random_texts(200, 6)) texts.add(text);
  int calls = 0;
  ForwardOptions options;
  options.interrupted = [&] { return ++calls == 3; };
  CHECK_THROWS_AS(model.forward(texts.batch(), options), Interrupted);
  CHECK(calls == 3);
  CHECK(run_one(model, {1, 2}).last_hidden_state == run_one(model, {1, 2}).last_hidden_state);
}

TEST_CASE("model: loads from a folder, with the pooler as asked") {
  const TemporaryFolder folder;
  folder.write("config.json", kTinyConfig);
  std::vector<MadeTensor> tensors;
  for (const TensorSpec& spec : tensor_specs(kTinyConfig, Task::encoder))
    tensors.push_back({"bert." + spec.name, spec.shape});
  folder.write("model.safetensors", make_safetensors(tensors));
  const Model model = Model::load(folder.path());
  CHECK(model.info().head_width == 0);
  CHECK(model.info().hidden_size == kHidden);
  CHECK(model.forward(TokenBatch{}).head.empty());
  LoadOptions options;
  options.require_head = true;
  CHECK_THROWS_WITH_AS(Model::load(folder.path(), options), doctest::Contains("pooler.dense.weight"), WeightsError);
  options = {};
  options.dtype = DType::f16;
  CHECK_THROWS_WITH_AS(Model::load(folder.path(), options), doctest::Contains("float32, bfloat16 and int8"),
                       DeviceError);
  options.dtype = DType::other;
  CHECK_THROWS_AS(Model::load(folder.path(), options), InputError);
  options = {};
  options.device = "cuda";
  CHECK_THROWS_WITH_AS(Model::load(folder.path(), options), doctest::Contains("libfilbert_cuda.so"), DeviceError);
  options.device = "tpu";
  CHECK_THROWS_AS(Model::load(folder.path(), options), DeviceError);
  CHECK_THROWS_AS(Model::load(folder.path() + "/absent"), FileError);
  std::filesystem::create_directories(folder / "wrong/config.json");
  CHECK_THROWS_WITH_AS(Model::load(folder / "wrong"), doctest::Contains("expected a file"), FileError);
}

TEST_CASE("model: logits of a text, alone, beside all rows and in any batch") {
  const std::string config = R"({"model_type": "roberta", "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 40, "max_position_embeddings": 40, "type_vocab_size": 1,
    "pad_token_id": 1, "id2label": {"0": "a", "1": "b", "2": "c"}})";
  LoadOptions options;
  options.task = Task::sequence_classification;
  const Weights weights = random_weights(config, 3, Task::sequence_classification);
  const Model model = Model::create(config, weights, options);
  CHECK(model.info().head_width == 3);
  CHECK(model.info().max_positions == 38);  // they begin after the padding id
  const std::vector<std::vector<std::int64_t>> texts = {{5, 6, 7, 8, 9}, {10}, {11, 12, 13}};
  std::vector<std::int64_t> ids, bounds = {0};
  for (const auto& text : texts) {
    ids.insert(ids.end(), text.begin(), text.end());
    bounds.push_back(static_cast<std::int64_t>(ids.size()));
  }
  TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = bounds.data();
  batch.sequences = texts.size();
  const Output together = model.forward(batch);
  std::vector<float> logits(9);
  OutputBuffers buffers;
  buffers.head = logits.data();
  model.forward(batch, buffers);
  CHECK(logits == together.head);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Output alone = run_one(model, texts[i]);
    CHECK(alone.head == std::vector<float>(logits.begin() + 3 * i, logits.begin() + 3 * i + 3));
  }
  CHECK(logits[0] != logits[3]);
  // The weights of a base model have no such head.
  CHECK_THROWS_WITH_AS(Model::create(config, random_weights(config, 3), options),
                       doctest::Contains("classifier.dense.weight: missing"), WeightsError);
}

TEST_CASE("model: an epsilon that a configuration leaves out is its family's") {
  const auto first = [](const std::string& eps) {
    const std::string config = R"({"model_type": "xlm-roberta-xl", "vocab_size": 60, "hidden_size": 32,
      "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "initializer_range": 0.02)" +
                               eps + "}";
    return run_one(Model::create(config, random_weights(config, 5)), {9, 10}).last_hidden_state;
  };
  CHECK(first("") == first(R"(, "layer_norm_eps": 1e-5)"));
  CHECK(first("") != first(R"(, "layer_norm_eps": 1e-12)"));
}

TEST_CASE("model: positions that are counted from the ids") {
  const std::string config = R"({"model_type": "camembert", "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 4, "intermediate_size": 40, "max_position_embeddings": 12, "pad_token_id": 2})";
  const Model model = Model::create(config, random_weights(config, 4));
  const std::vector<std::int64_t> ids = {2, 9, 2, 10, 11, 2}, positions = {2, 3, 2, 4, 5, 2}, bounds = {0, 6};
  TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = bounds.data();
  batch.sequences = 1;
  const Output counted = model.forward(batch);
  batch.position_ids = positions.data();
  CHECK(model.forward(batch).last_hidden_state == counted.last_hidden_state);
  // Masked columns count too: positions come from the ids, not from the mask.
  const std::vector<std::uint8_t> mask = {1, 0, 1, 1, 1, 1};
  PaddedBatch padded;
  padded.ids = ids.data();
  padded.rows = 1;
  padded.columns = 6;
  padded.attention_mask = mask.data();
  std::vector<float> from_ids(6 * 32), given(6 * 32);
  OutputBuffers buffers;
  buffers.last_hidden_state = from_ids.data();
  model.forward(padded, buffers);
  padded.position_ids = positions.data();
  buffers.last_hidden_state = given.data();
  model.forward(padded, buffers);
  CHECK(from_ids == given);
  const std::vector<std::int64_t> longest(9, 7), too_long(10, 7);
  CHECK_NOTHROW(run_one(model, longest));
  CHECK_THROWS_WITH_AS(run_one(model, too_long), doctest::Contains("has 10 tokens, but the model has 9 positions"),
                       InputError);
  for (const char* padding : {"11", "-1", "\"x\"", "3000000000"})
    CHECK_THROWS_WITH_AS(tensor_specs(R"({"model_type": "roberta", "max_position_embeddings": 12, "pad_token_id": )" +
                                          std::string(padding) + "}",
                                      Task::model),
                         doctest::Contains("pad_token_id"), ConfigError);
}
