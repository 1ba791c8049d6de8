// Attention against plain loops in double precision, and bit for bit against itself: alone and in a batch, with tiles
// of 64 and of 128 queries, with and without probabilities. Causal, with a window and a bias:
// test_attention_relative.cpp.
#include <doctest/doctest.h>

#include "attention_case.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

// The kernels' own, those that are padded, and one that is no multiple of 16 bytes. An odd number: with every type,
// half of them have masked tokens, and each size has with some type.
constexpr std::size_t kHeadSizes[] = {7, 32, 40, 64, 80, 96, 128, 200, 256};

// Whether it is not another one's, as attention.h says.
bool has_kernel(std::optional<QueryTile> tile, std::size_t head_size) {
  if (!tile) return false;
  return tile == QueryTile::t64 || head_size <= (tile == QueryTile::t128 ? 64 : 128);
}

}  // namespace

TEST_CASE("attention: head sizes, ragged lengths, masked tokens") {
  const cuda_on_cpu::Restore restore;
  bool masked = false;
  for (const Type type : kTypes)
    for (const std::size_t head_size : kHeadSizes) {
      masked = !masked;
      const Case c(type, head_size, masked);
      const Expected expected = reference(c);
      for (const std::optional<QueryTile> tile : tiles(type)) {
        if (type != Type::f32 && !has_kernel(tile, head_size)) continue;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(masked);
        CAPTURE(tile.has_value());
        CHECK(worst_error(c, expected, run(c, {.tile = tile}).out) <= 1);
      }
    }
}

TEST_CASE("attention: every length up to two tiles, and some beyond") {
  const cuda_on_cpu::Restore restore;
  std::vector<std::int32_t> lengths;
  for (std::int32_t length = 1; length <= 130; ++length) lengths.push_back(length);
  for (const std::int32_t length : {191, 192, 193, 255, 256, 257, 299}) lengths.push_back(length);
  for (const Type type : kTypes) {
    CAPTURE(type);
    const Case c(type, 16, true, lengths, 1);
    CHECK(worst_error(c, reference(c), run(c, {}).out) <= 1);
  }
}

TEST_CASE("attention: probabilities, beside which the output has the same bits") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 64}) {
      CAPTURE(type);
      CAPTURE(head_size);
      const Case c(type, head_size, head_size == 64);
      const Result found = run(c, {.probabilities = true});
      CHECK(same_bits(found.out, run(c, {}).out));
      const Expected expected = reference(c);
      double worst = 0;
      for (std::size_t i = 0; i < c.floats; ++i) {
        const double error = std::abs(found.probabilities[i] - expected.probabilities[i]);
        worst = std::isnan(error) ? INFINITY : std::max(worst, error);
        if (expected.probabilities[i] == 0) CHECK(found.probabilities[i] == 0.0f);
      }
      CHECK(worst < 40 * kUlp);  // see worst_error
      for (const filbert_rows rows : {FILBERT_ROWS_FIRST, FILBERT_ROWS_LAST}) {
        CAPTURE(rows);
        const Result asked = run(c, {.probabilities = true, .rows = rows});
        for (std::size_t s = 0; s < c.sequences(); ++s)
          for (std::size_t head = 0; head < c.heads; ++head) {
            const auto length = static_cast<std::size_t>(c.cu[s + 1] - c.cu[s]);
            const std::size_t place = rows == FILBERT_ROWS_FIRST ? 0 : length - 1;
            const std::size_t row = static_cast<std::size_t>(c.offsets[s]) + (head * length + place) * length;
            CHECK(same_bits(slice(asked.probabilities, row, length), slice(found.probabilities, row, length)));
          }
      }
    }
}

TEST_CASE("attention: the same bits alone, in any order, for first or last tokens only, and from either tile") {
  const cuda_on_cpu::Restore restore;
  std::vector<std::size_t> backwards(kLengths.size());
  for (std::size_t i = 0; i < backwards.size(); ++i) backwards[i] = backwards.size() - 1 - i;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 64, 96}) {
      const Case c(type, head_size, head_size == 64), reversed = c.pick(backwards);
      const std::vector<float> all = run(c, {.tile = tiles(type)[0]}).out;
      const auto of = [&](const Case& batch, const std::vector<float>& out, std::size_t s) {
        const auto row = static_cast<std::size_t>(batch.cu[s]), end = static_cast<std::size_t>(batch.cu[s + 1]);
        return slice(out, row * batch.hidden, (end - row) * batch.hidden);
      };
      for (const std::optional<QueryTile> tile : tiles(type)) {
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(tile.has_value());
        const std::vector<float> turned = run(reversed, {.tile = tile}).out;
        const std::vector<float> first = run(c, {.tile = tile, .rows = FILBERT_ROWS_FIRST}).out;
        const std::vector<float> last = run(c, {.tile = tile, .rows = FILBERT_ROWS_LAST}).out;
        for (std::size_t s = 0; s < c.sequences(); ++s) {
          CAPTURE(s);
          const std::vector<float> mine = of(c, all, s);
          CHECK(same_bits(of(reversed, turned, backwards[s]), mine));
          CHECK(same_bits(slice(first, s * c.hidden, c.hidden), slice(mine, 0, c.hidden)));
          CHECK(same_bits(slice(last, s * c.hidden, c.hidden), slice(mine, mine.size() - c.hidden, c.hidden)));
          CHECK(same_bits(run(c.pick({s}), {.tile = tile}).out, mine));
        }
      }
    }
}

TEST_CASE("attention: heads of keys that several heads of queries share, wherever they lie") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {7, 64, 128})
      for (const std::size_t sharing : {1, 2, 4}) {
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(sharing);
        const Case c(type, head_size, sharing == 2, {70, 1, 9}, 4, sharing);
        const Expected expected = reference(c);
        const Result packed = run(c, {.probabilities = true});
        CHECK(worst_error(c, expected, packed.out) <= 1);
        for (std::size_t i = 0; i < c.floats; ++i)
          CHECK(std::abs(packed.probabilities[i] - expected.probabilities[i]) < 40 * kUlp);
        for (const Layout layout : {Layout::apart, Layout::odd}) {
          const Result found = run(c, {.probabilities = true, .layout = layout});
          CHECK(same_bits(found.out, packed.out));
          CHECK(same_bits(found.probabilities, packed.probabilities));
        }
      }
}

TEST_CASE("attention: a sequence without keys gives zeros") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::optional<QueryTile> tile : tiles(type))
      for (const bool causal : {false, true}) {
        CAPTURE(type);
        CAPTURE(causal);
        Case c(type, 16, true, {5, 3});
        c.key_begin[0] = c.key_end[0] = c.cu[1];
        if (causal) c.relate(0, 0, false, true);
        const Expected expected = reference(c);
        const Result found = run(c, {.tile = tile, .probabilities = !tile});
        for (std::size_t i = 0; i < 5 * c.hidden; ++i) CHECK(found.out[i] == 0.0f);
        CHECK(worst_error(c, expected, found.out) <= 1);
        for (std::size_t i = 0; !tile && i < 2 * 25; ++i) CHECK(found.probabilities[i] == 0.0f);
      }
}

TEST_CASE("attention: inputs and output at odd addresses give the same bits") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::size_t head_size : {32, 80}) {
      CAPTURE(type);
      CAPTURE(head_size);
      const Case c(type, head_size, true);
      CHECK(same_bits(run(c, {.shift = 1}).out, run(c, {}).out));
    }
}

TEST_CASE("attention: of far larger scores the largest wins, and a NaN stays with its query") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes)
    for (const std::optional<QueryTile> tile : tiles(type)) {
      CAPTURE(type);
      CAPTURE(tile.has_value());
      Case c(type, 16, false, {90, 70, 3});
      const std::vector<float> clean = run(c, {.tile = tile}).out;
      // Sequence 0: keys of one direction, which its queries share; the last is by far the longest.
      for (std::size_t token = 0; token < 90; ++token)
        for (std::size_t j = 0; j < c.hidden; ++j) {
          c.q[token * c.hidden + j] = 30.0f;
          c.k[token * c.hidden + j] = token == 89 ? 1000.0f : static_cast<float>(token);
        }
      c.q[90 * c.hidden] = NAN;  // one query of sequence 1, in its first head
      const std::vector<float> found = run(c, {.tile = tile}).out;
      const std::vector<float> last = slice(c.v, 89 * c.hidden, c.hidden);
      for (std::size_t token = 0; token < 90; ++token) CHECK(slice(found, token * c.hidden, c.hidden) == last);
      for (std::size_t j = 0; j < 16; ++j) CHECK(std::isnan(found[90 * c.hidden + j]));
      const std::size_t rest = 90 * c.hidden + 16;
      CHECK(same_bits(slice(found, rest, found.size() - rest), slice(clean, rest, clean.size() - rest)));
    }
}

TEST_CASE("attention: the grid takes any number of sequences") {
  Attention task = {};
  task.batch.sequences = 1 << 20, task.batch.max_length = 130, task.heads = 12;
  dim3 grid = attention_grid(task, 64);
  CHECK(grid.x == 36);
  CHECK(grid.y == 61681);  // y and z end at 65535
  CHECK(grid.z == 17);     // 17 blocks of y past the last sequence
  task.rows = FILBERT_ROWS_LAST;
  grid = attention_grid(task, 64);
  CHECK(grid.x == 12);
  task.batch.sequences = 7;
  grid = attention_grid(task, 64);
  CHECK(grid.y == 7);
  CHECK(grid.z == 1);
}

TEST_CASE("attention: the fewer queries there are, the smaller is a block's share") {
  const auto chosen = [](std::size_t sequences, std::size_t length, filbert_rows rows = FILBERT_ROWS_ALL,
                         std::size_t head_size = 64) {
    Attention task = {};
    task.batch.sequences = sequences, task.batch.max_length = length, task.heads = 12, task.rows = rows;
    task.head_size = head_size;
    return choose_query_tile(task);
  };
  CHECK(chosen(1, 32) == QueryTile::t16);
  CHECK(chosen(1, 128) == QueryTile::t64);
  CHECK(chosen(1, 512) == QueryTile::t32);
  CHECK(chosen(4, 256) == QueryTile::t64);
  CHECK(chosen(128, 512) == QueryTile::t64);
  CHECK(chosen(128, 512, FILBERT_ROWS_ALL, 32) == QueryTile::t128);
  CHECK(chosen(128, 512, FILBERT_ROWS_FIRST) == QueryTile::t16);
  CHECK(chosen(2048, 32) == QueryTile::t64);
  CHECK(chosen(1024, 64) == QueryTile::t64);
}

TEST_CASE("attention: nothing to do, and what the device reports") {
  const cuda_on_cpu::Restore restore;
  for (const Type type : kTypes) {
    CHECK(run(Case(type, 64, false, {}), {}).out.empty());
    const Case c(type, 8, false, {3});
    const DeviceHeads heads(c, Layout::packed, 0);
    const TypedArray out(type, 3 * c.hidden);
    const DeviceArray<std::int32_t> cu(c.cu);
    const DeviceArray<std::int64_t> offsets(c.offsets);
    const DeviceArray<float> probabilities(c.floats);
    Attention task = {};
    task.batch = {cu.data(), nullptr, nullptr, 1, 3, nullptr, {}};
    task.q = heads.q, task.k = heads.k, task.v = heads.v;
    task.heads = task.kv_heads = 2, task.head_size = 8, task.scale = 1;
    task.out = out.data(), task.probabilities = probabilities.data(), task.probability_offsets = offsets.data();
    for (int calls = 0;; ++calls) {
      cuda_on_cpu::machine().calls_until_failure = calls;
      const cudaError_t error = attention(type, task, nullptr);
      cuda_on_cpu::machine().calls_until_failure = -1;
      if (error == cudaSuccess) {
        CHECK(calls == 2);  // two kernels
        break;
      }
      CHECK(error == cudaErrorUnknown);
    }
  }
}
