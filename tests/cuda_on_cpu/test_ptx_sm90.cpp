// The host bodies of cuda/ptx_sm90.h against what the PTX manual says.
#include <algorithm>
#include <cstring>
#include <vector>

#include "device_array.h"
#include "sm90_case.h"

using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

using Bits = std::uint16_t;

Barrier* barrier_at(unsigned byte) { return reinterpret_cast<Barrier*>(shared_memory() + byte); }

// What is in shared memory right after the copy was begun, and after the wait for it.
void copy(const __grid_constant__ TensorMap map, int column, int row, unsigned rows, Bits* before, Bits* after) {
  auto* box = reinterpret_cast<Bits*>(boxes_in_shared());
  auto* barrier = reinterpret_cast<Barrier*>(box + rows * 64);
  if (threadIdx.x == 0) {
    barrier_init(barrier, 1);
    barriers_are_made();
  }
  sync_block();
  if (threadIdx.x == 0) {
    barrier_expect(barrier, rows * 128);
    copy_box_to_all(box, map, column, row, barrier, 1);
    std::copy_n(box, rows * 64, before);
  }
  sync_cluster();
  barrier_wait(barrier, 0);
  for (unsigned i = threadIdx.x; i < rows * 64; i += 64) after[i] = box[i];
}

}  // namespace

TEST_CASE("ptx_sm90: a box comes with its words exchanged and zeros for what is outside") {
  const HopperDevice device;
  constexpr int kRows = 300, kColumns = 100, kStride = 104;
  std::vector<Bits> numbers(kRows * kStride);
  for (unsigned i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<Bits>(i + 1);
  const DeviceArray<Bits> matrix(numbers);
  const struct {
    int column, row;
    unsigned rows;
  } boxes[] = {{0, 0, 8}, {64, 8, 64}, {3, 290, 256}, {-5, -3, 9}, {100, 0, 8}, {0, 300, 1}, {-64, -8, 8}};
  for (const auto& box : boxes) {
    const TensorMap map = map_of(matrix.data(), kRows, kColumns, kStride, box.rows);
    DeviceArray<Bits> before(box.rows * 64), after(box.rows * 64);
    ++filbert::cuda_on_cpu::machine().seed;
    REQUIRE(error_of_block(64, 1024 + box.rows * 128 + 8, copy, map, box.column, box.row, box.rows, before.data(),
                           after.data()) == kNoError);
    std::vector<Bits> expected(box.rows * 64);
    for (int i = 0; i < static_cast<int>(box.rows); ++i)
      for (int j = 0; j < 64; ++j) {
        const int row = box.row + i, column = box.column + j;
        const bool inside = row >= 0 && row < kRows && column >= 0 && column < kColumns;
        const int at = i * 64 + (j / 8 ^ i % 8) * 8 + j % 8;
        expected[static_cast<unsigned>(at)] = inside ? numbers[static_cast<unsigned>(row * kStride + column)] : Bits{0};
      }
    CAPTURE(box.column);
    CAPTURE(box.row);
    CHECK(after.host() == expected);
    CHECK(before.host() == std::vector<Bits>(box.rows * 64, 0xffff));
  }
}

TEST_CASE("ptx_sm90: tensor maps that the driver refuses") {
  const DeviceArray<Bits> matrix(1024);
  TensorMap map;
  const Bits* data = matrix.data();
  CHECK(encode_map(&map, data, 8, 60, 64, 256) == CUDA_SUCCESS);
  CHECK(encode_map(&map, data + 8, 8, 60, 64, 1) == CUDA_SUCCESS);
  CHECK(encode_map(&map, data + 1, 8, 60, 64, 8) != CUDA_SUCCESS);
  CHECK(encode_map(&map, nullptr, 8, 60, 64, 8) != CUDA_SUCCESS);
  CHECK(encode_map(&map, data, 8, 60, 60, 8) != CUDA_SUCCESS);
  CHECK(encode_map(&map, data, 0, 60, 64, 8) != CUDA_SUCCESS);
  CHECK(encode_map(&map, data, 8, 60, 64, 0) != CUDA_SUCCESS);
  CHECK(encode_map(&map, data, 8, 60, 64, 257) != CUDA_SUCCESS);
  CHECK(encode_map(&map, data, 8, 60, 64, 8, 32) != CUDA_SUCCESS);
  void* function = &map;
  cudaDriverEntryPointQueryResult found;
  CHECK(cudaGetDriverEntryPointByVersion("cuNothing", &function, 12000, cudaEnableDefault, &found) == cudaSuccess);
  CHECK(found == cudaDriverEntryPointSymbolNotFound);
  CHECK(function == nullptr);
}

namespace {

void wait_after(unsigned phases, unsigned parity) {
  if (threadIdx.x > 0) return;
  barrier_init(barrier_at(8), 1);
  barriers_are_made();
  for (unsigned i = 0; i < phases; ++i) barrier_arrive(barrier_at(8));
  barrier_wait(barrier_at(8), parity);
}

// Rounds in which each warp adds to what it finds, in turns.
void in_turns(unsigned* sum) {
  const unsigned warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    for (unsigned i = 0; i < 3; ++i) barrier_init(barrier_at(i * 8), 32);
    barriers_are_made();
  }
  sync_block();
  for (unsigned round = 0; round < 5; ++round) {
    if (warp > 0 || round > 0) barrier_wait(barrier_at((warp + 2) % 3 * 8), (warp > 0 ? round : round - 1) % 2);
    if (threadIdx.x % 32 == round) *sum = *sum * 3 + warp;
    sync_warp();
    barrier_arrive_at(barrier_at(warp * 8), cluster_rank());
  }
}

}  // namespace

TEST_CASE("ptx_sm90: a barrier knows the parity of its phases and no more") {
  const HopperDevice device;
  for (unsigned phases = 0; phases < 5; ++phases) {
    CAPTURE(phases);
    CHECK(error_of_block(32, 16, wait_after, phases, 1 - phases % 2) == kNoError);
    CHECK(contains(error_of_block(32, 16, wait_after, phases, phases % 2),
                   "of 32 threads 31 have ended, 1 wait at the barrier at byte 8 of shared memory for parity " +
                       std::to_string(phases % 2) + " (in phase " + std::to_string(phases) +
                       ", with 1 arrivals and 0 bytes to come): none can go on"));
  }
  unsigned expected = 0;
  for (unsigned i = 0; i < 15; ++i) expected = expected * 3 + i % 3;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    const DeviceArray<unsigned> sum(std::vector<unsigned>{0});
    REQUIRE(error_of_block(96, 24, in_turns, sum.data()) == kNoError);
    CHECK(sum.host()[0] == expected);
  }
}

namespace {

enum class Misuse {
  none,
  arrivals,
  no_init,
  not_made,
  local,
  overwritten,
  twice,
  short_bytes,
  lost_copy,
  misplaced,
  bad_map,
  rank,
  cluster,
};

void misuse(Misuse how, const __grid_constant__ TensorMap map) {
  if (threadIdx.x > 0) return;
  std::byte* const box = boxes_in_shared();
  Barrier* const barrier = reinterpret_cast<Barrier*>(box + 8 * 128);
  Barrier local;
  if (how == Misuse::no_init) barrier_arrive(barrier);
  barrier_init(how == Misuse::local ? &local : barrier, 1);
  if (how == Misuse::not_made) barrier_wait(barrier, 1);
  barriers_are_made();
  if (how == Misuse::twice) barrier_init(barrier, 1);
  if (how == Misuse::overwritten) barrier->state += 1;
  if (how == Misuse::rank) barrier_arrive_at(barrier, 1);
  if (how == Misuse::cluster) copy_box_to_all(box, map, 0, 0, barrier, 3);
  barrier_expect(barrier, how == Misuse::short_bytes ? 1024 - 128 : 1024);
  if (how == Misuse::arrivals) barrier_arrive(barrier);
  copy_box(how == Misuse::misplaced ? box + 128 : box, how == Misuse::bad_map ? TensorMap{} : map, 0, 0, barrier);
  if (how != Misuse::lost_copy) barrier_wait(barrier, 0);
}

template <unsigned kFirst, unsigned kSecond>
void registers() {
  if (threadIdx.x < 256)
    take_registers<kFirst>();
  else
    leave_registers<kSecond>();
}

}  // namespace

TEST_CASE("ptx_sm90: misused barriers and boxes are errors that say what is wrong") {
  const HopperDevice device;
  const DeviceArray<Bits> matrix(1024);
  const TensorMap map = map_of(matrix.data(), 16, 64, 64, 8);
  const struct {
    Misuse how;
    const char* error;
  } cases[] = {
      {Misuse::arrivals, "barrier_arrive: the barrier at byte 1920 of shared memory has all arrivals of this phase"},
      {Misuse::no_init, "is not initialised"},
      {Misuse::not_made, "is used before barriers_are_made"},
      {Misuse::local, "bytes of shared memory"},
      {Misuse::overwritten, "was overwritten"},
      {Misuse::twice, "is initialised already"},
      {Misuse::short_bytes, "for parity 0 (in phase 0, with 0 arrivals and -128 bytes to come)"},
      {Misuse::lost_copy, "copy_box: the barrier at byte 1920 of shared memory was not waited for"},
      {Misuse::misplaced, "copy_box: shared memory at 1024 is not aligned to 1024 bytes"},
      {Misuse::bad_map, "the map was not made by cuTensorMapEncodeTiled"},
      {Misuse::rank, "barrier_arrive_at: a cluster has one block here"},
      {Misuse::cluster, "copy_box_to_all: a cluster has one block here"},
  };
  for (const auto& [how, error] : cases) {
    const std::string found = error_of_block(32, 3072, misuse, how, map);
    CAPTURE(found);
    CHECK(contains(found, error));
  }
  alignas(16) const Bits outside[512] = {};
  CHECK(error_of_block(32, 3072, misuse, Misuse::none, map) == kNoError);
  for (const Bits* data : {outside, static_cast<const Bits*>(matrix.data() + 1024 - 7 * 64)})
    CHECK(contains(error_of_block(32, 3072, misuse, Misuse::none, map_of(data, 8, 64, 64, 8)), "not in device memory"));
  CHECK(error_of_block(384, 0, registers<232, 40>) == kNoError);
  CHECK(contains(error_of_block(384, 0, registers<240, 40>), "more registers than there are"));
}

namespace {

// Numbers go from two warps to two others and back, through one place.
void hand_over(unsigned* got) {
  auto* shared = reinterpret_cast<unsigned*>(shared_memory());
  const unsigned me = threadIdx.x % 64;
  for (unsigned round = 0; round < 4; ++round) {
    if (threadIdx.x < 64) {
      if (round > 0) group_sync(2, 128);
      shared[me] = round * 100 + me;
      group_arrive(1, 128);
    } else {
      group_sync(1, 128);
      got[round * 64 + me] = shared[63 - me];
      if (round < 3) group_arrive(2, 128);
    }
  }
}

void group(int number, int threads, int others) {
  if (threadIdx.x < 32)
    group_sync(number, threads);
  else
    group_sync(number, others);
}
void half_a_warp() {
  if (threadIdx.x % 2 == 0) group_sync(1, 64);
}
void blocks_and_clusters() { threadIdx.x < 5 ? sync_block() : sync_cluster(); }

}  // namespace

TEST_CASE("ptx_sm90: barriers by number") {
  const HopperDevice device;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    const DeviceArray<unsigned> got(256);
    REQUIRE(error_of_block(128, 256, hand_over, got.data()) == kNoError);
    const std::vector<unsigned> numbers = got.host();
    for (unsigned i = 0; i < 256; ++i) CHECK(numbers[i] == i / 64 * 100 + 63 - i % 64);
  }
  CHECK(error_of_block(64, 0, group, 3, 64, 64) == kNoError);
  CHECK(contains(error_of_block(64, 0, group, 3, 64, 32), "numbered barrier 3 is of"));
  CHECK(contains(error_of_block(64, 0, group, 0, 64, 64), "there is no barrier 0"));
  CHECK(contains(error_of_block(64, 0, group, 16, 64, 64), "there is no barrier 16"));
  CHECK(contains(error_of_block(64, 0, group, 1, 96, 96), "group_sync: 96 threads"));
  CHECK(contains(error_of_block(96, 0, group, 15, 64, 64),
                 "wait at group_sync of barrier 15, where 32 of 64 threads have come: none can go on"));
  CHECK(contains(error_of_block(64, 0, half_a_warp), "wait at group_sync: none can go on"));
  CHECK(contains(error_of_block(64, 0, blocks_and_clusters), "while others wait at sync_"));
}
