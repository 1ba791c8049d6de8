// Proof that the harness finds bugs: a kernel that is right for every size and order of threads, and what becomes of it
// when one line is left out or is off by one.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"

using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

enum class Mutant { none, no_sync_after_load, no_sync_before_refill, no_sync_before_total, late_wait, past_end, tail };

constexpr unsigned kRows = 32, kColumns = 32, kThreads = 128;

template <Mutant kMutant>
void load_tile(float* tile, const float* x, std::size_t stride, std::size_t begin, std::size_t columns) {
  if (begin < columns || kMutant == Mutant::past_end)
    for (unsigned i = threadIdx.x; i < kRows * kColumns / 4; i += kThreads) {
      const unsigned row = i / (kColumns / 4), column = i % (kColumns / 4) * 4;
      const bool valid = begin + column < columns;
      cp_async_16(tile + row * kColumns + column, x + row * stride + begin + column, valid);
    }
  cp_async_commit();
}

// out[row] = sum of x[row, column] over the columns. Rows are `stride` apart, a multiple of 4; 32 rows a block. Tiles
// of 32 columns come in while those before are summed, a quarter of each row by each of four warps.
template <Mutant kMutant>
void row_sums(const float* x, std::size_t columns, std::size_t stride, float* out) {
  auto* tiles = reinterpret_cast<float*>(shared_memory());
  float* partial = tiles + 2 * kRows * kColumns;
  const unsigned row = threadIdx.x % 32, quarter = threadIdx.x / 32;
  x += blockIdx.x * kRows * stride;
  float sum = 0;
  load_tile<kMutant>(tiles, x, stride, 0, columns);
  for (std::size_t begin = 0, step = 0; begin < columns; begin += kColumns, ++step) {
    load_tile<kMutant>(tiles + (step + 1) % 2 * kRows * kColumns, x, stride, begin + kColumns, columns);
    if constexpr (kMutant != Mutant::late_wait) cp_async_wait<1>();
    if constexpr (kMutant != Mutant::no_sync_after_load) sync_block();
    const float* tile = tiles + step % 2 * kRows * kColumns;
    for (unsigned i = quarter * kColumns / 4; i < (quarter + 1) * kColumns / 4; ++i) {
      const bool inside = kMutant == Mutant::tail ? begin + i <= columns : begin + i < columns;
      if (inside) sum += tile[row * kColumns + i];
    }
    if constexpr (kMutant != Mutant::no_sync_before_refill) sync_block();
  }
  if constexpr (kMutant == Mutant::late_wait) cp_async_wait<0>();
  partial[threadIdx.x] = sum;
  if constexpr (kMutant != Mutant::no_sync_before_total) sync_block();
  if (quarter > 0) return;
  for (unsigned i = 1; i < 4; ++i) sum += partial[i * 32 + row];
  out[blockIdx.x * kRows + row] = sum;
}

template <Mutant kMutant>
bool is_right(std::size_t blocks, std::size_t columns, std::uint64_t seed) {
  filbert::cuda_on_cpu::machine().seed = seed;
  const std::size_t rows = blocks * kRows, stride = (columns + 3) / 4 * 4;
  std::vector<float> x(rows * stride, NAN);
  std::vector<float> expected(rows);
  std::mt19937 generator(1);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column) {
      x[row * stride + column] = static_cast<float>(generator() % 1000);  // sums are exact
      expected[row] += x[row * stride + column];
    }
  const DeviceArray<float> device_x(x);
  DeviceArray<float> out(rows);
  constexpr std::size_t kShared = (2 * kRows * kColumns + kThreads) * sizeof(float);
  REQUIRE(launch(row_sums<kMutant>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kShared, nullptr,
                 device_x.data(), columns, stride, out.data()) == cudaSuccess);
  const cudaError_t error = cudaStreamSynchronize(nullptr);  // outside of REQUIRE, which would keep what it throws
  REQUIRE(error == cudaSuccess);
  return out.host() == expected;
}

constexpr std::uint64_t kSeeds = 20;

template <Mutant kMutant>
void check_caught(std::size_t columns) {
  const filbert::cuda_on_cpu::Restore restore;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(columns);
    CAPTURE(seed);
    CHECK_FALSE(is_right<kMutant>(1, columns, seed));
  }
}

}  // namespace

TEST_CASE("mutants: the kernel without a bug is right in every order") {
  const filbert::cuda_on_cpu::Restore restore;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed)
    for (const std::size_t columns : {1, 3, 31, 32, 33, 64, 95, 200}) CHECK(is_right<Mutant::none>(2, columns, seed));
}

TEST_CASE("mutants: a missing sync_block is caught, whichever it is") {
  for (const std::size_t columns : {3, 64, 200}) {
    check_caught<Mutant::no_sync_after_load>(columns);
    check_caught<Mutant::no_sync_before_total>(columns);
  }
  for (const std::size_t columns : {96, 200}) check_caught<Mutant::no_sync_before_refill>(columns);
}

TEST_CASE("mutants: a cp_async_wait that comes too late is caught") {
  for (const std::size_t columns : {3, 64, 200}) check_caught<Mutant::late_wait>(columns);
}

// Zeros for a tile past the last column: nobody reads them, but they may come when another block has the shared memory.
TEST_CASE("mutants: copies that are still under way in the end are caught") {
  const filbert::cuda_on_cpu::Restore restore;
  for (const std::size_t columns : {3, 64, 200})
    CHECK_THROWS_WITH_AS(is_right<Mutant::past_end>(1, columns, 1), doctest::Contains("ended before cp_async_wait"),
                         filbert::cuda_on_cpu::SimulationError);
}

TEST_CASE("mutants: a tail that is off by one is caught") {
  for (const std::size_t columns : {3, 31, 65, 95}) check_caught<Mutant::tail>(columns);
}
