// Passes one after the other, on a device that is the CPU behind a table of its own: passes are small, and what is
// given is not there before it is waited for.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "cpu/backend.h"
#include "engine/pipeline.h"

struct filbert_mark {
  std::size_t gifts;
  int number;
};

using namespace filbert;

namespace {

struct Gift {
  float* to;
  std::vector<float> numbers;
};

// Of one test at a time.
struct Device {
  std::string log;  // m: a mark was set, w: waited for, r: read, s: sync
  int activations_on_host = 0;
  std::vector<Gift> gifts;
  std::size_t arrived = 0;
  int marks = 0;
  int blocks = 0;  // of mapped memory
} device;

filbert_backend table(int activations_on_host) {
  device = {};
  device.activations_on_host = activations_on_host;
  filbert_backend table = *cpu::backend();
  table.describe = [](filbert_context* context, filbert_device_description* out) {
    cpu::backend()->describe(context, out);
    out->activations_on_host = device.activations_on_host;
    out->tokens_per_pass = 8;
  };
  table.alloc_mapped = [](filbert_context* context, std::size_t bytes, void** out) {
    ++device.blocks;
    return cpu::backend()->alloc(context, bytes, out);
  };
  table.free_mapped = [](filbert_context* context, void* memory) {
    --device.blocks;
    cpu::backend()->free(context, memory);
  };
  table.fetch = cpu::backend()->upload;
  table.give = [](filbert_context*, float* mapped, const void* activation, std::size_t count) {
    const auto* numbers = static_cast<const float*>(activation);
    device.gifts.push_back({mapped, {numbers, numbers + count}});
    return FILBERT_OK;
  };
  table.read = [](filbert_context*, float* host, const void* activation, std::size_t count) {
    device.log += 'r';
    std::copy_n(static_cast<const float*>(activation), count, host);
    return FILBERT_OK;
  };
  table.mark = [](filbert_context*, filbert_mark** mark) {
    if (!*mark) *mark = new filbert_mark{};
    **mark = {device.gifts.size(), device.marks++};
    device.log += 'm' + std::to_string((*mark)->number);
    return FILBERT_OK;
  };
  table.wait = [](filbert_context*, filbert_mark* mark) {
    device.log += 'w' + std::to_string(mark->number);
    for (; device.arrived < mark->gifts; ++device.arrived) {
      const Gift& gift = device.gifts[device.arrived];
      std::copy(gift.numbers.begin(), gift.numbers.end(), gift.to);
    }
    return FILBERT_OK;
  };
  table.sync = [](filbert_context* context) {
    device.log += 's';
    return cpu::backend()->sync(context);
  };
  table.free_mark = [](filbert_context*, filbert_mark* mark) { delete mark; };
  return table;
}

// Texts of 5, 0, 6, 2 and 7 tokens, which are numbered: passes of 5, 8 and 7 tokens, of which each row is
// `width` times its token's number.
class Passes {
 public:
  explicit Passes(std::size_t width, int activations_on_host = 0) : backend(table(activations_on_host)), width_(width) {
    for (std::int64_t i = 0; i < kTokens; ++i) ids_.push_back(i);
    session.packed.pack(TokenBatch{.ids = ids_.data(), .cu_seqlens = bounds_, .sequences = 5},
                        {.vocabulary = kTokens, .positions = 8, .longest = 8});
  }

  void run(const ForwardOptions& options, const std::function<void(OutputWriter&, const void* x)>& write) {
    const OutputBuffers nothing;
    for_each_pass(ops, session, options, [&](const Pass& pass, const Batch& batch, Exchange& exchange) {
      OutputWriter writer(ops, session, exchange, pass, {kTokens, 0, 5}, nothing, {});
      auto* x = static_cast<float*>(session.arena.activations(batch.tokens, width_));
      for (std::size_t t = 0; t < batch.tokens; ++t)
        std::fill_n(x + t * width_, width_, static_cast<float>(batch.ids[t]));
      write(writer, x);
      std::fill_n(x, batch.tokens * width_, -1.0f);  // the next pass will use the memory for something else
    });
  }

  static constexpr std::int64_t kTokens = 20;

  const filbert_backend backend;
  const Ops ops{&backend, 0, 1, FILBERT_F32};
  Session session{ops};

 private:
  std::size_t width_;
  std::vector<std::int64_t> ids_;
  const std::int64_t bounds_[6] = {0, 5, 5, 11, 13, 20};
};

void check_tokens(const std::vector<float>& rows, std::size_t width) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) wrong += rows[i] != static_cast<float>(i / width);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("pipeline: a pass is given before the one before it is waited for") {
  constexpr std::size_t kWidth = 3;
  Passes passes(kWidth);
  for (int repetition = 0; repetition < 2; ++repetition) {
    device.log.clear();
    device.marks = 0;
    std::vector<float> tokens(Passes::kTokens * kWidth, -2.0f), sequences(5 * 2 * kWidth, -2.0f);
    passes.run({}, [&](OutputWriter& writer, const void* x) {
      writer.tokens(x, {tokens.data(), kWidth});
      writer.sequences(x, {sequences.data(), 2 * kWidth, kWidth, 2 * kWidth});  // the right half of each row
    });
    CHECK(device.log == "m0m1w0m2w1w2");
    check_tokens(tokens, kWidth);
    // As many rows of x as the pass has sequences; the second sequence is empty.
    const float expected[] = {0, -2, 5, 6, 13};
    for (std::size_t s = 0; s < 5; ++s)
      for (std::size_t i = 0; i < 2 * kWidth; ++i)
        CHECK(sequences[s * 2 * kWidth + i] == (i < kWidth ? -2.0f : expected[s]));
  }
}

TEST_CASE("pipeline: results that are too many to be kept are read at once") {
  constexpr std::size_t kWidth = 500000;
  Passes passes(kWidth);
  std::vector<float> tokens(Passes::kTokens * kWidth);
  passes.run({}, [&](OutputWriter& writer, const void* x) { writer.tokens(x, {tokens.data(), kWidth}); });
  CHECK(device.log == "rm0rm1w0rm2w1w2");
  check_tokens(tokens, kWidth);
}

TEST_CASE("pipeline: one that is interrupted leaves nothing behind") {
  {
    Passes passes(1);
    std::vector<float> tokens(Passes::kTokens);
    int asked = 0;
    ForwardOptions options;
    options.interrupted = [&] { return ++asked == 2; };
    const auto write = [&](OutputWriter& writer, const void* x) { writer.tokens(x, {tokens.data(), 1}); };
    CHECK_THROWS_AS(passes.run(options, write), Interrupted);
    CHECK(device.log == "m0m1w0");
    CHECK(device.blocks == 2);
  }
  CHECK(device.blocks == 0);
}

TEST_CASE("pipeline: on the host, a forward that is interrupted keeps no turn") {
  Passes passes(1, 1);
  std::vector<float> tokens(Passes::kTokens);
  const auto write = [&](OutputWriter& writer, const void* x) { writer.tokens(x, {tokens.data(), 1}); };
  ForwardOptions options;
  options.interrupted = [] { return true; };
  CHECK_THROWS_AS(passes.run(options, write), Interrupted);
  CHECK(device.log == "s");
  passes.run({}, write);
  CHECK(device.log == "ss");
  check_tokens(tokens, 1);
}
