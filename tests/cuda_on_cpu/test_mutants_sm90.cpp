// A product by four warps out of a ring that a fifth one fills, against plain loops, and proof that the harness sees
// what is wrong with it when one line is.
#include <cmath>
#include <random>
#include <vector>

#include "device_array.h"
#include "sm90_case.h"
#include "stored.h"

using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

enum class Mutant {
  none,
  no_wait_for_full,
  no_wait_for_empty,
  parity_of_full,
  parity_of_empty,
  released_too_soon,
  no_commit,
  no_begin,
  no_wait_for_sums,
  sums_touched,
  bytes,
  swapped_rows,
  no_turns,
};

constexpr unsigned kStages = 3, kTiles = 3;

enum Barriers { kFirstMultiplies = 1, kSecondMultiplies };  // by number

template <int N>
constexpr unsigned kStage = (64 + N) * 128;  // bytes
template <int N>
constexpr std::size_t kSharedBytes = 1024 + kStages * (kStage<N> + 2 * sizeof(Barrier));

// out [64, N] = x [64, k] w [N, k]^T, 64 of k a step, as many times as there are tiles. Two groups of four warps take
// tiles in turns, and multiply in turns: a wait knows no phases but this one and the one before.
template <typename T, int N, unsigned kGroups, Mutant kMutant>
void product(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap w, unsigned steps, float* out) {
  std::byte* const stages = boxes_in_shared();
  auto* full = reinterpret_cast<Barrier*>(stages + kStages * kStage<N>);
  Barrier* empty = full + kStages;
  if (threadIdx.x == 0) {
    for (unsigned i = 0; i < kStages; ++i) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, 4);
    }
    barriers_are_made();
  }
  sync_block();
  const unsigned group = threadIdx.x / 128;
  if (group == kGroups) {
    leave_registers<40>();
    if (threadIdx.x % 128 > 0) return;
    for (unsigned i = 0; i < kTiles * steps; ++i) {
      const unsigned slot = i % kStages, round = i / kStages;
      const unsigned parity = (round + (kMutant == Mutant::parity_of_empty ? 0 : 1)) % 2;
      if (round > 0 && kMutant != Mutant::no_wait_for_empty) barrier_wait(empty + slot, parity);
      barrier_expect(full + slot, kStage<N> - (kMutant == Mutant::bytes ? 128 : 0));
      std::byte* const stage = stages + slot * kStage<N>;
      const auto column = static_cast<int>(i % steps * 64);
      copy_box(stage, x, column, 0, full + slot);
      copy_box(stage + 64 * 128, w, column, 0, full + slot);
    }
    return;
  }
  take_registers<208>();
  constexpr bool kInTurns = kGroups == 2 && kMutant != Mutant::no_turns;
  if (kInTurns && group == 1) group_arrive(kFirstMultiplies, 256);
  const unsigned warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  for (unsigned tile = group; tile < kTiles; tile += kGroups) {
    if (kInTurns) group_sync(group == 0 ? kFirstMultiplies : kSecondMultiplies, 256);
    float sums[N / 2] = {};
    for (unsigned step = 0; step < steps; ++step) {
      const unsigned i = tile * steps + step, slot = i % kStages, round = i / kStages;
      const unsigned parity = (round + (kMutant == Mutant::parity_of_full ? 1 : 0)) % 2;
      if (kMutant != Mutant::no_wait_for_full) barrier_wait(full + slot, parity);
      const Boxed boxes(stages + slot * kStage<N>);
      if (kMutant != Mutant::no_begin) products_begin();
      for (int k = 0; k < 4; ++k) multiply_64<T, N>(sums, boxes.at(0, k), boxes.at(64 * 128, k));
      if (kMutant != Mutant::no_commit) products_commit();
      if (kMutant == Mutant::sums_touched) sums[0] += 1;
      if (kMutant == Mutant::released_too_soon && lane == 0) barrier_arrive(empty + slot);
      products_wait<1>();
      if (kMutant != Mutant::released_too_soon && lane == 0 && step > 0) barrier_arrive(empty + (i - 1) % kStages);
    }
    if (kMutant != Mutant::no_wait_for_sums) products_wait<0>();
    if (kMutant != Mutant::released_too_soon && lane == 0) barrier_arrive(empty + (tile * steps + steps - 1) % kStages);
    if (kInTurns) group_arrive(group == 0 ? kSecondMultiplies : kFirstMultiplies, 256);
    const unsigned row = tile * 64 + warp * 16 + lane / 4, column = lane % 4 * 2;
    for (unsigned i = 0; i < N / 2; ++i) {
      const unsigned half = kMutant == Mutant::swapped_rows ? 1 - i / 2 % 2 : i / 2 % 2;
      out[(row + half * 8) * N + i / 4 * 8 + column + i % 2] = sums[i];
    }
  }
}

template <typename T>
std::vector<T> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values(count);
  for (T& value : values) value = from_float<T>(normal(generator));
  return values;
}

// In the order of the instructions: one chain along k. Products of two 16-bit numbers are exact.
template <typename T>
std::vector<float> plain_product(const std::vector<T>& x, const std::vector<T>& w, std::size_t n, std::size_t k) {
  const std::vector<float> a = floats(x), b = floats(w);
  std::vector<float> c(64 * n);
  for (std::size_t row = 0; row < a.size() / k; ++row)
    for (std::size_t column = 0; column < b.size() / k; ++column)
      for (std::size_t i = 0; i < k; ++i) c[row * n + column] += a[row * k + i] * b[column * k + i];
  return c;
}

template <typename T, int N, unsigned kGroups, Mutant kMutant = Mutant::none>
struct Run {
  std::string error;
  bool is_right = false;

  Run(std::size_t rows, std::size_t columns, std::size_t k, std::uint64_t seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    const std::vector<T> x = random_numbers<T>(rows * k, 1), w = random_numbers<T>(columns * k, 2);
    const DeviceArray<T> device_x(x), device_w(w);
    DeviceArray<float> out(kTiles * 64 * N);
    error = error_of_block(kGroups * 128 + 32, kSharedBytes<N>, product<T, N, kGroups, kMutant>,
                           map_of(device_x.data(), rows, k, k, 64), map_of(device_w.data(), columns, k, k, N),
                           static_cast<unsigned>((k + 63) / 64), out.data());
    const std::vector<float> tile = plain_product(x, w, N, k), got = out.host();
    std::vector<float> expected;
    for (unsigned i = 0; i < kTiles; ++i) expected.insert(expected.end(), tile.begin(), tile.end());
    is_right = error == kNoError && same_bits(got, expected);
  }
};

template <typename T, int... N>
void check_products() {
  const HopperDevice device;
  std::uint64_t seed = 0;
  const auto check = [&]<int kN>() {
    for (const std::size_t k : {8, 64, 200}) {
      const Run<T, kN, 1> run(k == 200 ? 50 : 64, k == 200 ? kN - 3 : kN, k, ++seed);
      CAPTURE(kN);
      CAPTURE(k);
      CHECK(run.error == kNoError);
      CHECK(run.is_right);
    }
  };
  (check.template operator()<N>(), ...);
}

constexpr std::uint64_t kSeeds = 20;

// How many of the orders show it.
template <Mutant kMutant, unsigned kGroups = 1>
unsigned caught(const char* error = "") {
  const HopperDevice device;
  unsigned count = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Run<Bf16, 16, kGroups, kMutant> run(64, 16, 248, seed);
    if (!run.is_right && (run.error == kNoError || contains(run.error, error))) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("ptx_sm90: products of four warps have the bits of one chain along k") {
  check_products<Bf16, 8, 16, 32, 64, 128, 192, 256>();
  check_products<F16, 8, 16, 32, 64, 128, 192, 256>();
}

TEST_CASE("mutants_sm90: the ring without a bug is right in every order") {
  CHECK(caught<Mutant::none>() == 0);
  CHECK(caught<Mutant::none, 2>() == 0);
}

TEST_CASE("mutants_sm90: missing and wrong waits are caught") {
  CHECK(caught<Mutant::no_wait_for_full>() == kSeeds);
  CHECK(caught<Mutant::no_wait_for_empty>() == kSeeds);
  CHECK(caught<Mutant::parity_of_full>() == kSeeds);
  CHECK(caught<Mutant::parity_of_empty>() == kSeeds);
  CHECK(caught<Mutant::bytes>("bytes to come): none can go on") == kSeeds);
  CHECK(caught<Mutant::released_too_soon>() > kSeeds / 2);
  CHECK(caught<Mutant::no_turns, 2>() > kSeeds / 2);
}

TEST_CASE("mutants_sm90: sums that are not finished are no sums") {
  CHECK(caught<Mutant::no_commit>("before products_wait") == kSeeds);
  CHECK(caught<Mutant::no_begin>("without products_begin") == kSeeds);
  CHECK(caught<Mutant::no_wait_for_sums>("before products_wait") == kSeeds);
  CHECK(caught<Mutant::sums_touched>("sums were touched before products_wait") == kSeeds);
  CHECK(caught<Mutant::swapped_rows>() == kSeeds);
}

namespace {

enum class Fault { none, warp_missing, other_operand, begins_elsewhere, outside };

void one_product(Fault fault) {
  if (fault == Fault::warp_missing && threadIdx.x >= 96) return;
  const Boxed x(boxes_in_shared() + (fault == Fault::begins_elsewhere ? 128 : 0));
  const Boxed w(boxes_in_shared() + 64 * 128 + (fault == Fault::outside ? 8 * 128 : 0));
  float sums[4] = {};
  products_begin();
  multiply_64<F16, 8>(sums, x, w.at(0, fault == Fault::other_operand && threadIdx.x == 5 ? 1 : 0));
  products_commit();
  products_wait<0>();
}

std::string error_of_product(Fault fault, unsigned threads = 128) {
  return error_of_block(threads, 896 + (64 + 8) * 128, one_product, fault);
}

}  // namespace

TEST_CASE("ptx_sm90: products that four warps do not share are errors that say what is wrong") {
  const HopperDevice device;
  CHECK(error_of_product(Fault::none) == kNoError);
  CHECK(contains(error_of_product(Fault::none, 160), "multiply_64: in a warp that is not one of four"));
  CHECK(contains(error_of_product(Fault::warp_missing),
                 "96 wait at multiply_64, where 96 of 128 threads have come: none can go on"));
  CHECK(contains(error_of_product(Fault::other_operand), "multiply_64 with other operands than others of its four"));
  CHECK(
      contains(error_of_product(Fault::begins_elsewhere), "multiply_64: an operand begins elsewhere than a box does"));
  CHECK(contains(error_of_product(Fault::outside), "multiply_64: 1024 bytes at 10112 of 10112 bytes of shared memory"));
}
