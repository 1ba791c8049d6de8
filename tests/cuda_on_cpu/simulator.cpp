#include "cuda_on_cpu/simulator.h"

#include <cstdint>
#include <cstring>

#include "block.h"
#include "cuda_on_cpu/machine.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace filbert::cuda_on_cpu {
namespace {

std::uint64_t blocks_so_far = 0;

}  // namespace

std::uint64_t blocks_run() { return blocks_so_far; }

void simulate(const Launch& launch) {
  const std::uint64_t seed = machine().seed;
  Random random(seed);
  gridDim = launch.grid;
  blockDim = launch.block;
  const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  const std::uint64_t first = random() % blocks;
  const bool backwards = random() % 2 == 0;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t n = ((backwards ? blocks - 1 - i : i) + first) % blocks;
    const uint3 index = {static_cast<unsigned>(n % launch.grid.x),
                         static_cast<unsigned>(n / launch.grid.x % launch.grid.y),
                         static_cast<unsigned>(n / launch.grid.x / launch.grid.y)};
    ++blocks_so_far;
    try {
      block().run(launch, index, random);
    } catch (const SimulationError& error) {
      throw SimulationError(std::string(launch.site.function_name()) + ": block " + name_of(index) + ", seed " +
                            std::to_string(seed) + ": " + error.what());
    }
  }
}

void meet_warp(const char* name, WarpAction action, void* lane) { block().meet_warp(name, action, lane); }
void sync_block() { block().sync("sync_block"); }
std::byte* shared_memory() { return block().shared(); }
void check_shared(const char* operation, const void* row) { block().check_shared(operation, row, 16, 16); }

void cp_async_16(void* shared, const void* global, bool valid) {
  check_shared("cp_async_16", shared);
  if (valid && reinterpret_cast<std::uintptr_t>(global) % 16 != 0)
    block().fail("cp_async_16: global memory that is not aligned to 16 bytes");
  std::memset(shared, 0xff, 16);  // until the wait it is anything
  Thread& thread = block().current();
  thread.copies.push_back({shared, valid ? global : nullptr, thread.groups});
}

void cp_async_commit() { ++block().current().groups; }

void cp_async_wait(unsigned pending) {
  Thread& thread = block().current();
  while (!thread.copies.empty() && thread.copies.front().group + pending < thread.groups) {
    const Copy copy = thread.copies.front();
    thread.copies.pop_front();
    if (copy.global)
      std::memcpy(copy.shared, copy.global, 16);
    else
      std::memset(copy.shared, 0, 16);
  }
}

}  // namespace filbert::cuda_on_cpu
