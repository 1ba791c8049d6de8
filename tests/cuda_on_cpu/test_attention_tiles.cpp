// Attention whose blocks follow a list of tiles: the bits that it has without one, and no more blocks than there is
// work for, from the packed batch on.
#include <doctest/doctest.h>

#include <numeric>

#include "attention_case.h"
#include "cuda/backend.h"
#include "engine/passes.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

const std::vector<std::int32_t> kRagged = {1, 200, 0, 63, 129, 65, 2, 128, 0};

// The most shares of `queries` that any sequence has, for each.
std::size_t plain_tiles(const Batch& batch, std::size_t queries) {
  return batch.sequences * ((batch.max_length + queries - 1) / queries);
}

// Sequences of tokens that are all 0, in a session of their own.
class Upload {
 public:
  Upload(const Ops& ops, const std::vector<std::size_t>& lengths) : ops_(ops), session_(ops) {
    std::vector<std::int64_t> bounds = {0};
    for (const std::size_t length : lengths) bounds.push_back(bounds.back() + static_cast<std::int64_t>(length));
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(bounds.back()));
    TokenBatch batch;
    batch.ids = ids.data();
    batch.cu_seqlens = bounds.data();
    batch.sequences = lengths.size();
    session_.packed.pack(batch, {.vocabulary = 1, .positions = 1 << 20});
  }
  // Whether there was another one.
  bool next() {
    if (pass_.end == session_.packed.sequences()) return false;
    session_.arena.reset();
    pass_ = next_pass(session_.packed, pass_, ops_.device().tokens_per_pass);
    session_.exchanges[0].begin();
    batch_ = upload(ops_, pass_, session_, session_.exchanges[0]);
    ops_.sync();
    return true;
  }
  const Batch& batch() const { return batch_; }

 private:
  const Ops& ops_;
  Session session_;
  Pass pass_;
  Batch batch_ = {};
};

Batch uploaded(const Ops& ops, const std::vector<std::size_t>& lengths) {
  Upload upload(ops, lengths);
  REQUIRE(upload.next());
  return upload.batch();
}

// As many texts have them: many short, few long.
std::vector<std::size_t> log_normal_lengths(std::size_t count, double mean, std::size_t longest) {
  std::mt19937 generator(1);
  constexpr double kSigma = 0.7;
  std::lognormal_distribution<double> length(std::log(mean) - kSigma * kSigma / 2, kSigma);
  std::vector<std::size_t> lengths(count);
  for (std::size_t& one : lengths)
    one = std::clamp(static_cast<std::size_t>(length(generator)), std::size_t{1}, longest);
  return lengths;
}

}  // namespace

TEST_CASE("attention: the same bits from a list of tiles, by every kernel") {
  const cuda_on_cpu::Restore restore;
  bool causal = false;
  for (const Type type : kTypes) {
    causal = !causal;  // each head size both ways, but not in every type
    for (const std::size_t head_size : {7, 64, 128, 256}) {
      causal = !causal;
      Case c(type, head_size, head_size != 7, kRagged);
      if (causal) c.relate(70, 0, false, true);
      for (const std::optional<QueryTile> tile : tiles(type)) {
        if (type != Type::f32 && !tile) continue;
        CAPTURE(type);
        CAPTURE(head_size);
        CAPTURE(causal);
        CAPTURE(tile.has_value());
        const std::vector<float> found = run(c, {.tile = tile, .tiled = true}).out;
        CHECK(same_bits(found, run(c, {.tile = tile}).out));
        CHECK(same_bits(run(c.pick({4}), {.tile = tile}).out, slice(found, 264 * c.hidden, 129 * c.hidden)));
        const filbert_rows one = causal ? FILBERT_ROWS_LAST : FILBERT_ROWS_FIRST;
        CHECK(
            same_bits(run(c, {.tile = tile, .rows = one, .tiled = true}).out, run(c, {.tile = tile, .rows = one}).out));
      }
    }
  }
}

TEST_CASE("attention: blocks for tiles, each with those of all heads") {
  Attention task = {};
  task.batch.sequences = 1500, task.batch.max_length = 256, task.heads = 12, task.head_size = 32;
  const filbert_query_tile list = {};
  task.batch.tiles = {&list, 1800, 64};
  for (const auto& [queries, x] : {std::pair{16u, 48u}, {64u, 12u}, {128u, 12u}}) {
    CAPTURE(queries);
    const dim3 grid = attention_grid(task, queries);
    CHECK(grid.x == x);
    CHECK(grid.y == 1800);
    CHECK(grid.z == 1);
  }
  CHECK(with_useful_tiles(task, 64).batch.tiles.list == &list);
  CHECK(choose_query_tile(task) == QueryTile::t64);  // most sequences have one
  task.batch.tiles.count = 4000;
  CHECK(choose_query_tile(task) == QueryTile::t128);
  CHECK(with_useful_tiles(task, 128).batch.tiles.list == nullptr);  // every other block would have nothing to do
  task.batch.tiles.count = 1800;
  task.rows = FILBERT_ROWS_FIRST;
  CHECK(attention_grid(task, 64).y == 1500);
  CHECK(with_useful_tiles(task, 64).batch.tiles.list == nullptr);
  task.rows = FILBERT_ROWS_ALL;
  task.batch.sequences = 20, task.batch.tiles.count = 30;
  CHECK(with_useful_tiles(task, 64).batch.tiles.list == nullptr);  // too few are saved
}

TEST_CASE("passes: of 1,500 texts hardly a block of attention is started that has nothing to do") {
  const Ops ops(cuda::backend(), 0, 0, FILBERT_BF16);
  const std::vector<std::size_t> lengths = log_normal_lengths(1500, 43, 256);
  std::vector<std::size_t> bounds = {0};
  for (const std::size_t length : lengths) bounds.push_back(bounds.back() + length);
  const std::size_t work = count_query_tiles(bounds, 64);
  CHECK(work < 1500 * 4 / 2);  // so many would be started without tiles
  std::uint64_t started = 0;
  Upload upload(ops, lengths);
  while (upload.next()) {
    const Batch& batch = upload.batch();
    constexpr std::size_t kHeadSize = 8;
    void* qkv = ops.alloc(batch.tokens * 3 * kHeadSize * 2);
    void* out = ops.alloc(batch.tokens * kHeadSize * 2);
    filbert_attention_args args = {};
    args.batch = &batch;
    args.q = args.k = args.v = {qkv, 3 * kHeadSize, 0, batch.tokens};
    args.k.column = kHeadSize, args.v.column = 2 * kHeadSize;
    args.heads = args.kv_heads = 1, args.head_size = kHeadSize, args.scale = 1, args.out = out;
    const std::uint64_t before = cuda_on_cpu::blocks_run();
    ops.attention(args);
    ops.sync();
    started += cuda_on_cpu::blocks_run() - before;
    ops.free(qkv);
    ops.free(out);
  }
  CHECK(started >= work);
  CHECK(started <= work + work / 10);
}

TEST_CASE("passes: tiles where they are fewer than sequences times the most of any; for recordings by size alone") {
  for (const auto& [dtype, queries] : {std::pair{FILBERT_F32, std::size_t{16}}, {FILBERT_BF16, std::size_t{64}}}) {
    CAPTURE(dtype);
    const Ops ops(cuda::backend(), 0, 0, dtype);
    for (const auto& equal : {std::vector<std::size_t>(40, 300), std::vector<std::size_t>(200, 60)}) {
      CHECK(uploaded(ops, equal).tiles.list == nullptr);
      CHECK(uploaded(ops, equal).tiles.count == 0);
    }
    std::vector<std::size_t> long_ones(100, 30);  // 20,000 tokens: not recorded
    long_ones.insert(long_ones.end(), 17, 1000);
    const Batch exact = uploaded(ops, long_ones);
    REQUIRE(exact.tiles.list);
    CHECK(exact.tiles.queries == queries);
    CHECK(exact.tiles.count == 100 * (queries == 16 ? 2 : 1) + 17 * ((1000 + queries - 1) / queries));

    std::vector<std::size_t> one(50, 20), other(50, 1);  // both of 1,400 tokens, the longest of 400
    one[7] = other[0] = 400;
    std::fill_n(one.begin() + 30, 20, 21);
    other[1] = 399, other[2] = 398, other[3] = 155;
    REQUIRE(std::accumulate(one.begin(), one.end(), std::size_t{0}) == 1400);
    REQUIRE(std::accumulate(other.begin(), other.end(), std::size_t{0}) == 1400 - 2);
    const Batch first = uploaded(ops, one), second = uploaded(ops, other);
    REQUIRE(first.tiles.list);
    CHECK(first.tiles.count == second.tiles.count);
    CHECK(first.tiles.count < plain_tiles(first, queries));
    CHECK(first.tokens == second.tokens);
  }
}
