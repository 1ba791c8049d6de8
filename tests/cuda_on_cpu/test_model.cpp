// Whole models on the simulated device, through the plug-in as a program opens it: beside the CPU, and the forwards
// that are recorded and replayed.
#include <doctest/doctest.h>

#include <cstdlib>
#include <thread>

#include "cuda/backend.h"
#include "engine/recordings.h"
#include "floats.h"
#include "sm90_case.h"
#include "tiny_model.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

Model model_on(const char* device, DType dtype = DType::f32) {
  setenv("FILBERT_BACKEND_DIR", FILBERT_SIMULATED_PLUGIN, 1);
  LoadOptions options;
  options.device = device;
  options.dtype = dtype;
  return Model::create(kTinyConfig, random_weights(kTinyConfig, 1), options);
}

Texts batch_of(const std::vector<std::vector<std::int64_t>>& texts) {
  Texts batch;
  for (const auto& text : texts) batch.add(text);
  return batch;
}

}  // namespace

TEST_CASE("model: every output beside the CPU's") {
  const Model cpu = model_on("cpu");
  const Texts batch = batch_of(random_texts(7, 3));
  ForwardOptions options;
  options.hidden_states = options.attentions = true;
  const Output expected = cpu.forward(batch.batch(), options);
  // Two layers of a dozen roundings each, to numbers of size 1.
  const std::pair<DType, double> cases[] = {{DType::f32, 1e-5}, {DType::f16, 0x1p-6}, {DType::bf16, 0x1p-3}};
  for (const auto& [dtype, allowed] : cases) {
    const Model cuda = model_on("cuda:0", dtype);
    CHECK(cuda.info().device == "cuda:0");
    const Output found = cuda.forward(batch.batch(), options);
    CHECK(difference(found.last_hidden_state, expected.last_hidden_state) < allowed);
    CHECK(difference(found.head, expected.head) < allowed);
    for (std::size_t i = 0; i < expected.hidden_states.size(); ++i)
      CHECK(difference(found.hidden_states[i], expected.hidden_states[i]) < allowed);
    for (std::size_t i = 0; i < expected.attentions.size(); ++i)
      CHECK(difference(found.attentions[i], expected.attentions[i]) < allowed);
  }
}

TEST_CASE("model: results in device memory") {
  const Model model = model_on("cuda", DType::bf16);
  const auto texts = random_texts(5, 9, 20);
  constexpr std::size_t kColumns = 20, kHidden = 36, kLayers = 2;
  std::vector<std::int64_t> ids(5 * kColumns, 1);
  std::vector<std::uint8_t> mask(5 * kColumns, 0);
  for (std::size_t row = 0; row < 4; ++row) {  // the fifth is masked
    std::copy(texts[row].begin(), texts[row].end(), ids.begin() + static_cast<std::ptrdiff_t>(row * kColumns));
    std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(row * kColumns), texts[row].size(), 1);
  }
  PaddedBatch batch;
  batch.ids = ids.data();
  batch.attention_mask = mask.data();
  batch.rows = 5;
  batch.columns = kColumns;
  struct Results {
    std::vector<float> last = std::vector<float>(5 * kColumns * kHidden), pooled = std::vector<float>(5 * kHidden);
    std::vector<std::vector<float>> states{kLayers + 1, last};
  };
  // The memory of the simulated device is the host's.
  const auto run = [&](bool on_device, bool states) {
    Results results;
    OutputBuffers buffers;
    buffers.on_device = on_device;
    buffers.last_hidden_state = results.last.data();
    buffers.head = results.pooled.data();
    if (states)
      for (auto& state : results.states) buffers.hidden_states.push_back(state.data());
    model.forward(batch, buffers);
    return results;
  };
  const Results expected = run(false, true);
  for (int call = 0; call < 4; ++call)
    for (const bool states : {false, true}) {
      const Results found = run(true, states);
      CHECK(same_bits(found.last, expected.last));
      CHECK(same_bits(found.pooled, expected.pooled));
      for (std::size_t i = 0; states && i <= kLayers; ++i) CHECK(same_bits(found.states[i], expected.states[i]));
    }
  OutputBuffers attentions;
  attentions.on_device = true;
  attentions.attentions = {nullptr, nullptr};
  CHECK_THROWS_AS(model.forward(batch, attentions), InputError);
}

TEST_CASE("model: replayed forwards, in turns, in other batches, from other threads") {
  const Model model = model_on("cuda", DType::bf16);
  std::vector<Texts> batches;
  std::vector<Output> expected;
  for (unsigned seed = 0; seed < 6; ++seed) {
    batches.push_back(batch_of(random_texts(1 + seed % 3, seed)));
    ForwardOptions traced;  // is never replayed
    traced.hidden_states = true;
    expected.push_back(model.forward(batches.back().batch(), traced));
  }
  const auto check_all = [&](int rounds) {
    std::vector<float> vectors(3 * 36), again(3 * 36);
    for (int round = 0; round < rounds; ++round)
      for (std::size_t i = 0; i < batches.size(); ++i) {
        const Output found = model.forward(batches[i].batch());
        CHECK(same_bits(found.last_hidden_state, expected[i].last_hidden_state));
        CHECK(same_bits(found.head, expected[i].head));
        for (const Pooling pooling : {Pooling::cls, Pooling::mean, Pooling::max, Pooling::last}) {
          std::fill(vectors.begin(), vectors.end(), 0.0f);
          std::fill(again.begin(), again.end(), 0.0f);
          model.embed(batches[i].batch(), pooling, pooling == Pooling::mean, vectors.data());
          model.embed(batches[i].batch(), pooling, pooling == Pooling::mean, again.data());
          CHECK(same_bits(vectors, again));
        }
      }
  };
  check_all(4);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t n = 0; n < 12; ++n) {
        const std::size_t i = (n + static_cast<std::size_t>(t)) % batches.size();
        wrong += !same_bits(model.forward(batches[i].batch()).last_hidden_state, expected[i].last_hidden_state);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

// Sequences are filled up to a power of two, which may be more than the tokens are.
TEST_CASE("model: many texts of one token, of which one row a sequence is wanted") {
  const Model cpu = model_on("cpu"), cuda = model_on("cuda");
  for (const std::size_t count : {33u, 65u}) {
    CAPTURE(count);
    std::vector<std::vector<std::int64_t>> texts;
    for (std::size_t i = 0; i < count; ++i) texts.push_back({static_cast<std::int64_t>(1 + i % 7)});
    const Texts batch = batch_of(texts);
    for (const Pooling pooling : {Pooling::cls, Pooling::last}) {
      std::vector<float> expected(count * 36), found(count * 36);
      cpu.embed(batch.batch(), pooling, false, expected.data());
      for (int call = 0; call < 3; ++call) {
        cuda.embed(batch.batch(), pooling, false, found.data());
        CHECK(difference(found, expected) < 1e-5);
      }
    }
  }
}

// One long text and so many short ones that attention follows a list of tiles, whose replays find other lists.
TEST_CASE("model: ragged batches of one size have the bits of their texts alone, recorded or not") {
  const Model model = model_on("cuda");
  constexpr std::size_t kTexts = 268, kHidden = 36;
  const auto vectors_of = [&](const Texts& batch) {
    std::vector<float> vectors((batch.cu_seqlens.size() - 1) * kHidden);
    model.embed(batch.batch(), Pooling::mean, false, vectors.data());
    return vectors;
  };
  for (std::size_t call = 0; call < 4; ++call) {
    CAPTURE(call);
    std::vector<std::vector<std::int64_t>> texts;
    for (std::size_t i = 0; i < kTexts; ++i) texts.emplace_back(1 + (i * i + call) % 4, (i + call) % 101);
    const std::size_t long_one = 50 * call;
    texts[long_one].resize(60 + call, 3);
    const std::vector<float> found = vectors_of(batch_of(texts));
    for (const std::size_t i : {std::size_t{0}, long_one, long_one + 1, kTexts - 1})
      CHECK(same_bits(slice(found, i * kHidden, kHidden), vectors_of(batch_of({texts[i]}))));
  }
}

TEST_CASE("recordings: made on the second call, replayed from then on, as long as the memory stays") {
  const Ops ops(cuda::backend(), 0, 0, FILBERT_F32);
  Arena arena(ops);
  Recordings recordings(ops, arena);
  const std::vector<float> x = random_floats(64, 1), weight = random_floats(64, 2);
  const filbert_host_tensor tensor = {weight.data(), FILBERT_F32, 8, 8};
  filbert_weight* matrix = ops.load_weight(FILBERT_MATRIX, &tensor, 1);
  Batch batch = {};
  batch.tokens = 8;
  int computed = 0;
  const auto run = [&](float factor, const Wanted& wanted = {}) {
    arena.reset();
    void* in = arena.activations(8, 8);
    std::vector<float> values = x;
    for (float& value : values) value *= factor;
    ops.upload(in, values.data(), 64 * sizeof(float));
    const Computed result = recordings.run(batch, wanted, [&] {
      ++computed;
      void* out = arena.activations(batch.tokens, 8);
      ops.token_ops({linear({in, matrix, nullptr, nullptr, FILBERT_IDENTITY, out, 0})}, 8);
      return Computed{out, nullptr};
    });
    std::vector<float> found;
    ops.read(result.last, 64, found);
    return found;
  };
  const std::vector<float> expected = run(1);  // the arena grows in it
  std::vector<float> doubled = expected;
  for (float& value : doubled) value *= 2;
  for (int i = 0; i < 4; ++i) CHECK(same_bits(run(1), expected));
  const int before = computed;
  CHECK(before <= 4);
  for (int i = 0; i < 5; ++i) CHECK(same_bits(run(2), doubled));  // other numbers, the same work
  CHECK(computed == before);
  CHECK(same_bits(run(1, {.pooled = true}), expected));  // other work
  CHECK(computed == before + 1);
  for (batch.tokens = 9; batch.tokens < 100; ++batch.tokens) CHECK(same_bits(run(1), expected));  // other sizes
  batch.tokens = 8;
  CHECK(same_bits(run(2), doubled));  // what was forgotten meanwhile is computed again
  ops.free_weight(matrix);
}

TEST_CASE("recordings: one that another thread spoils is computed, and made at the next call") {
  const Ops ops(cuda::backend(), 0, 0, FILBERT_F32);
  Arena arena(ops);
  Recordings recordings(ops, arena);
  const float two = 2;
  const filbert_host_tensor tensor = {&two, FILBERT_F32, 1, 1};
  filbert_weight* weight = ops.load_weight(FILBERT_MATRIX, &tensor, 1);
  Batch batch = {};
  batch.tokens = 1;
  int computed = 0;
  for (int call = 0; call < 9; ++call) {
    arena.reset();
    auto* x = arena.activations(1, 1);
    ops.upload(x, &two, sizeof(two));
    const Computed result = recordings.run(batch, {}, [&] {
      ++computed;
      if (computed == 3) std::thread(cudaDeviceSynchronize).join();
      void* y = arena.activations(1, 1);
      ops.token_ops({linear({x, weight, nullptr, nullptr, FILBERT_IDENTITY, y, 0})}, 1);
      return Computed{y, nullptr};
    });
    std::vector<float> found;
    CHECK(*ops.read(result.last, 1, found) == 4);
  }
  CHECK(computed >= 5);  // until the memory stays, spoilt, plainly again, recorded
  CHECK(computed <= 7);
  ops.free_weight(weight);
}

TEST_CASE("ops: an sm_90 gives the bits of other devices") {
  constexpr std::size_t kTokens = 20, kWidth = 64;
  const std::vector<float> numbers = random_floats(kWidth * kWidth, 1);
  const filbert_host_tensor tensor = {numbers.data(), FILBERT_F32, kWidth, kWidth};
  const auto run = [&] {
    const Ops ops(cuda::backend(), 0, 0, FILBERT_BF16);
    Arena arena(ops);
    filbert_weight* weight = ops.load_weight(FILBERT_MATRIX, &tensor, 1);
    void* x = arena.activations(kTokens, kWidth);
    ops.upload(x, numbers.data(), kTokens * kWidth * 2);  // any bits
    void* y = arena.activations(kTokens, kWidth);
    ops.token_ops({linear({x, weight, nullptr, nullptr, FILBERT_GELU_ERF, y, 0})}, kTokens);
    std::vector<float> found;
    ops.read(y, kTokens * kWidth, found);
    ops.free_weight(weight);
    return found;
  };
  const std::vector<float> expected = run();
  const HopperDevice device;
  CHECK(same_bits(run(), expected));
}

TEST_CASE("recordings: a failure while one is made is an error, and the next call works") {
  const Ops ops(cuda::backend(), 0, 0, FILBERT_F32);
  CHECK_THROWS_WITH(ops.record([] { throw DeviceError("in the middle"); }), "in the middle");
  const float two = 2;
  const filbert_host_tensor tensor = {&two, FILBERT_F32, 1, 1};
  filbert_weight* weight = ops.load_weight(FILBERT_MATRIX, &tensor, 1);
  void* x = ops.alloc(4);
  void* y = ops.alloc(4);
  ops.upload(x, &two, 4);
  filbert_recording* recording =
      ops.record([&] { ops.token_ops({linear({x, weight, nullptr, nullptr, FILBERT_IDENTITY, y, 0})}, 1); });
  ops.replay(recording);
  std::vector<float> found;
  CHECK(*ops.read(y, 1, found) == 4);
  ops.free_recording(recording);
  ops.free_weight(weight);
  ops.free(x);
  ops.free(y);
}
