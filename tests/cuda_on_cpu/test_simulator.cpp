// What the simulator reports as an error instead of a wrong number: threads that miss each other, bad addresses.
#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"

using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

const std::string kNone = cudaGetErrorName(cudaSuccess);

template <typename... P, typename... A>
std::string error_of(unsigned threads, std::size_t shared_bytes, void (*kernel)(P...), A... arguments) {
  try {
    const cudaError_t error = launch(kernel, dim3(3), dim3(threads), shared_bytes, nullptr, arguments...);
    return cudaGetErrorName(error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error);
  } catch (const filbert::cuda_on_cpu::SimulationError& error) {
    return error.what();
  }
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// 128 numbers of a block, reversed through shared memory by its 128 threads.
void reverse(float* out) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  shared[127 - threadIdx.x] = static_cast<float>(blockIdx.x * 128 + threadIdx.x);
  sync_block();
  out[blockIdx.x * 128 + threadIdx.x] = shared[threadIdx.x];
}

bool reverses() {
  DeviceArray<float> out(3 * 128);
  if (error_of(128, 512, reverse, out.data()) != kNone) return false;
  const std::vector<float> got = out.host();
  for (unsigned i = 0; i < got.size(); ++i)
    if (got[i] != static_cast<float>(i / 128 * 128 + 127 - i % 128)) return false;
  return true;
}

void half_a_block_syncs() {
  if (threadIdx.x < 50) return;
  sync_block();
}
void one_thread_syncs_twice() {
  sync_block();
  if (threadIdx.x == 77) sync_block();
}
void odd_lanes_shuffle() {
  if (threadIdx.x % 2 == 1) shuffle_xor(1.0f, 1);
}
void odd_lanes_shuffle_even_ones_sync() { threadIdx.x % 2 == 1 ? void(shuffle_xor(1.0f, 1)) : sync_warp(); }
void one_warp_shuffles_others_sync() {
  if (threadIdx.x < 10)
    shuffle_xor(1.0f, 1);
  else
    sync_block();
}

}  // namespace

TEST_CASE("simulator: threads that miss each other are an error that says who waits where") {
  const std::string half = error_of(128, 0, half_a_block_syncs);
  CHECK(has(half, "of 128 threads 50 have ended, 78 wait at sync_block: none can go on"));
  CHECK(has(half, "block ("));
  CHECK(has(half, "seed "));
  CHECK(has(half, "error_of"));
  CHECK(has(error_of(128, 0, one_thread_syncs_twice), "of 128 threads 127 have ended, 1 wait at sync_block"));
  CHECK(has(error_of(64, 0, odd_lanes_shuffle), "wait at a shuffle"));
  CHECK(has(error_of(64, 0, odd_lanes_shuffle_even_ones_sync), "of its warp wait at"));
  CHECK(
      has(error_of(64, 0, one_warp_shuffles_others_sync), "of 64 threads 10 wait at a shuffle, 54 wait at sync_block"));
  CHECK(reverses());
}

TEST_CASE("simulator: threads of the host take turns") {
  bool right[2] = {true, true};
  const auto work = [](bool* all_right) {
    for (int i = 0; i < 20; ++i) *all_right = *all_right && reverses();
  };
  std::thread other(work, &right[0]);
  work(&right[1]);
  other.join();
  CHECK(right[0]);
  CHECK(right[1]);
}

namespace {

void load_matrix(std::ptrdiff_t offset) {
  std::uint32_t r[4];
  ldmatrix_x4(r, shared_memory() + offset + threadIdx.x % 32 * 16);
}
void copy_async(const float* from, std::ptrdiff_t to) {
  cp_async_16(shared_memory() + to, from, true);
  cp_async_commit();
  cp_async_wait<0>();
}
void store(std::ptrdiff_t offset) {
  if (threadIdx.x == 0) shared_memory()[offset] = std::byte{1};
}

}  // namespace

TEST_CASE("simulator: shared addresses are checked") {
  const DeviceArray<float> numbers(std::vector<float>(8, 1.0f));
  CHECK(error_of(32, 512, load_matrix, 0) == kNone);
  CHECK(has(error_of(32, 512, load_matrix, 16), "ldmatrix: 16 bytes at 512 of 512 bytes of shared memory"));
  CHECK(has(error_of(32, 512, load_matrix, -16), "ldmatrix: 16 bytes at -16 of 512"));
  CHECK(has(error_of(32, 520, load_matrix, 8), "is not aligned to 16 bytes"));
  CHECK(error_of(32, 512, copy_async, numbers.data(), 496) == kNone);
  CHECK(has(error_of(32, 512, copy_async, numbers.data(), 512), "cp_async_16: 16 bytes at 512 of 512"));
  CHECK(has(error_of(32, 512, copy_async, numbers.data(), 8), "cp_async_16: shared memory at 8 is not aligned"));
  CHECK(has(error_of(32, 512, copy_async, numbers.data() + 1, 0), "cp_async_16: global memory that is not aligned"));
#if !defined(__SANITIZE_ADDRESS__)  // which ends the program
  CHECK(has(error_of(32, 512, store, 512), "written past shared memory"));
  CHECK(has(error_of(32, 512, store, -1), "written before shared memory"));
#else
  CHECK(error_of(32, 512, store, 511) == kNone);
#endif
  CHECK(reverses());
}

namespace {

void look_at_copies(const float* from, float* out) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  shared[0] = 0;
  cp_async_16(shared, from, true);
  cp_async_commit();
  cp_async_16(shared + 4, from + 4, true);
  cp_async_commit();
  cp_async_16(shared + 8, nullptr, false);
  const auto look = [&](unsigned step) {
    for (unsigned i = 0; i < 3; ++i) out[step * 3 + i] = shared[i * 4];
  };
  look(0);
  cp_async_wait<1>();
  look(1);
  cp_async_wait<0>();
  look(2);
  cp_async_commit();
  cp_async_wait<0>();
  look(3);
}

void first_come(unsigned* order, unsigned* next) { order[(*next)++] = blockIdx.x * blockDim.x + threadIdx.x; }

}  // namespace

TEST_CASE("simulator: copies appear group by group, at the wait; uncommitted ones do not") {
  std::vector<float> numbers(32 * 8);
  for (unsigned i = 0; i < 8; ++i) numbers[i] = static_cast<float>(i + 1);
  const DeviceArray<float> from(numbers);
  DeviceArray<float> out(12);
  REQUIRE(error_of(32, 48, look_at_copies, from.data(), out.data()) == kNone);
  const std::vector<float> got = out.host();
  const float expected[12] = {NAN, NAN, NAN, 1, NAN, NAN, 1, 5, NAN, 1, 5, 0};
  for (unsigned i = 0; i < 12; ++i) {
    CAPTURE(i);
    CHECK((got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))));
  }
}

TEST_CASE("simulator: the order of threads follows the seed") {
  const filbert::cuda_on_cpu::Restore restore;
  std::set<std::vector<unsigned>> orders;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    std::vector<unsigned> order[2];
    for (auto& one : order) {
      DeviceArray<unsigned> threads(3 * 64);
      const DeviceArray<unsigned> next(std::vector<unsigned>{0});
      REQUIRE(error_of(64, 0, first_come, threads.data(), next.data()) == kNone);
      one = threads.host();
    }
    CHECK(order[0] == order[1]);
    CHECK(std::set<unsigned>(order[0].begin(), order[0].end()).size() == 3 * 64);
    orders.insert(order[0]);
  }
  CHECK(orders.size() == 10);
}
