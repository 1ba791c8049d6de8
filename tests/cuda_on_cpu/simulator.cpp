#include "cuda_on_cpu/simulator.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "cuda_on_cpu/machine.h"
#include "fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace filbert::cuda_on_cpu {
namespace {

constexpr unsigned kWarps = 32;
constexpr std::uint32_t kAllLanes = 0xffffffffu;
constexpr std::size_t kZone = 4096;  // before and after shared memory, where nobody may write
constexpr std::byte kUntouched{0xa5};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint32_t operator()() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  // Any of the bits that are set.
  unsigned bit(std::uint32_t set) {
    const unsigned turn = (*this)() % 32;
    return (static_cast<unsigned>(std::countr_zero(std::rotr(set, static_cast<int>(turn)))) + turn) % 32;
  }

 private:
  std::uint64_t state_;
};

struct Copy {
  void* shared;
  const void* global;  // null: zeros
  std::uint64_t group;
};

struct Thread {
  Fiber fiber;
  uint3 index;
  void* meeting;  // what it brought along
  std::deque<Copy> copies;
  std::uint64_t groups;  // committed
};

struct Warp {
  std::uint32_t ready, waiting, ended;  // the others wait at sync_block
  const char* name;                     // of the meeting
  WarpAction action;
};

class Block {
 public:
  void run(const Launch& launch, uint3 index, Random& random);

  void meet_warp(const char* name, WarpAction action, void* argument);
  void sync();
  void end();
  void check_shared(const char* operation, const void* row) const;
  [[noreturn]] void fail(std::string what);

  Thread& current() { return *threads_[current_]; }
  std::byte* shared() { return shared_begin_; }
  void run_thread() { launch_->thread(); }

 private:
  void prepare_shared(std::size_t bytes);
  void check_zones();
  void next(bool last = false);
  unsigned pick();
  std::string who_waits() const;

  const Launch* launch_ = nullptr;
  Random* random_ = nullptr;
  Fiber host_;
  std::vector<std::unique_ptr<Thread>> threads_;  // kept for later blocks
  Warp warps_[kWarps];
  unsigned count_ = 0;    // of threads in this block
  unsigned current_ = 0;  // thread
  unsigned syncing_ = 0, ended_ = 0;
  std::uint32_t ready_warps_ = 0;
  std::vector<std::byte> memory_;
  std::byte* shared_begin_ = nullptr;
  std::size_t shared_bytes_ = 0;
  std::string error_;
};

Block& block() {
  static Block one;
  return one;
}

void thread_entry() {
  Fiber::started();
  block().run_thread();
  block().end();
}

std::string name_of(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

void Block::run(const Launch& launch, uint3 index, Random& random) {
  launch_ = &launch;
  random_ = &random;
  error_.clear();
  blockIdx = index;
  count_ = launch.block.x * launch.block.y * launch.block.z;
  prepare_shared(launch.shared_bytes);
  while (threads_.size() < count_) threads_.push_back(std::make_unique<Thread>());
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = *threads_[i];
    thread.fiber.start(thread_entry, i);
    thread.index = {i % launch.block.x, i / launch.block.x % launch.block.y, i / launch.block.x / launch.block.y};
    thread.copies.clear();
    thread.groups = 0;
  }
  const unsigned warps = count_ / kWarp;
  for (unsigned i = 0; i < warps; ++i) warps_[i] = {kAllLanes, 0, 0, nullptr, nullptr};
  ready_warps_ = kAllLanes >> (kWarps - warps);
  syncing_ = ended_ = 0;
  current_ = random_->bit(ready_warps_) * kWarp;
  current_ = pick();
  threadIdx = current().index;
  Fiber::switch_to(host_, current().fiber);
  check_zones();
  if (!error_.empty()) throw SimulationError(error_);
}

void Block::prepare_shared(std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory_.data(), memory_.size());
#endif
  memory_.resize(std::max(memory_.size(), bytes + 2 * kZone + 128));
  const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + kZone;
  shared_begin_ = memory_.data() + kZone + (128 - address % 128) % 128;
  shared_bytes_ = bytes;
  std::fill_n(shared_begin_, bytes, std::byte{0xff});  // NaN as float32, float16 and bfloat16
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(shared_begin_ - kZone, kZone);
  __asan_poison_memory_region(shared_begin_ + bytes, kZone);
#else
  std::fill_n(shared_begin_ - kZone, kZone, kUntouched);
  std::fill_n(shared_begin_ + bytes, kZone, kUntouched);
#endif
}

void Block::check_zones() {
#if !defined(__SANITIZE_ADDRESS__)
  const auto untouched = [](const std::byte* zone) {
    return std::all_of(zone, zone + kZone, [](std::byte value) { return value == kUntouched; });
  };
  if (error_.empty() && !untouched(shared_begin_ - kZone)) error_ = "something was written before shared memory";
  if (error_.empty() && !untouched(shared_begin_ + shared_bytes_)) error_ = "something was written past shared memory";
#endif
}

// A thread that can run, mostly of the current warp.
unsigned Block::pick() {
  unsigned warp = current_ / kWarp;
  if (warps_[warp].ready == 0 || (*random_)() % kWarp == 0) warp = random_->bit(ready_warps_);
  return warp * kWarp + random_->bit(warps_[warp].ready);
}

void Block::next(bool last) {
  Fiber& from = current().fiber;
  if (ready_warps_ == 0) {
    if (ended_ != count_) fail(who_waits() + ": none can go on");
    Fiber::switch_to(from, host_, last);
  }
  const unsigned chosen = pick();
  if (chosen == current_) return;
  current_ = chosen;
  threadIdx = current().index;
  Fiber::switch_to(from, current().fiber, last);
}

void Block::meet_warp(const char* name, WarpAction action, void* argument) {
  const unsigned index = current_ / kWarp;
  const std::uint32_t lane = 1u << current_ % kWarp;
  Warp& warp = warps_[index];
  if (warp.waiting == 0) {
    warp.name = name;
    warp.action = action;
  } else if (warp.action != action) {
    fail("a thread came to " + std::string(name) + " while others of its warp wait at " + warp.name);
  }
  current().meeting = argument;
  warp.ready &= ~lane;
  warp.waiting |= lane;
  if (warp.waiting == kAllLanes) {
    void* lanes[kWarp];
    for (unsigned i = 0; i < kWarp; ++i) lanes[i] = threads_[index * kWarp + i]->meeting;
    action(lanes);
    warp.waiting = 0;
    warp.ready = kAllLanes;
  } else if (warp.ready == 0) {
    ready_warps_ &= ~(1u << index);
  }
  next();
}

void Block::sync() {
  const unsigned index = current_ / kWarp;
  Warp& warp = warps_[index];
  warp.ready &= ~(1u << current_ % kWarp);
  if (warp.ready == 0) ready_warps_ &= ~(1u << index);
  if (++syncing_ == count_) {
    syncing_ = 0;
    ready_warps_ = kAllLanes >> (kWarps - count_ / kWarp);
    for (unsigned i = 0; i < count_ / kWarp; ++i) warps_[i].ready = kAllLanes;
  }
  next();
}

void Block::end() {
  const unsigned index = current_ / kWarp;
  const std::uint32_t lane = 1u << current_ % kWarp;
  Warp& warp = warps_[index];
  warp.ready &= ~lane;
  warp.ended |= lane;
  if (warp.ready == 0) ready_warps_ &= ~(1u << index);
  ++ended_;
  next(true);
}

std::string Block::who_waits() const {
  std::map<std::string, unsigned> places;
  if (syncing_ > 0) places["wait at sync_block"] = syncing_;
  if (ended_ > 0) places["have ended"] = ended_;
  for (unsigned i = 0; i < count_ / kWarp; ++i) {
    const auto waiting = static_cast<unsigned>(std::popcount(warps_[i].waiting));
    if (waiting > 0) places[std::string("wait at ") + warps_[i].name] += waiting;
  }
  std::string text = "of " + std::to_string(count_) + " threads";
  for (const auto& [place, threads] : places)
    text += (&place == &places.begin()->first ? " " : ", ") + std::to_string(threads) + " " + place;
  return text;
}

void Block::check_shared(const char* operation, const void* row) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(shared_begin_);
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  if (address < begin || address + 16 > begin + shared_bytes_)
    block().fail(std::string(operation) + ": 16 bytes at " +
                 std::to_string(static_cast<std::ptrdiff_t>(address - begin)) + " of " + std::to_string(shared_bytes_) +
                 " bytes of shared memory");
  if (address % 16 != 0)
    block().fail(std::string(operation) + ": shared memory at " + std::to_string(address - begin) +
                 " is not aligned to 16 bytes");
}

// The stack is left as it is: nothing on it may own memory.
void Block::fail(std::string what) {
  error_ = what + " (in thread " + name_of(threadIdx) + ")";
  std::string().swap(what);
  Fiber::switch_to(current().fiber, host_);
  std::abort();  // nobody switches back
}

}  // namespace

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
    try {
      block().run(launch, index, random);
    } catch (const SimulationError& error) {
      throw SimulationError(std::string(launch.site.function_name()) + ": block " + name_of(index) + ", seed " +
                            std::to_string(seed) + ": " + error.what());
    }
  }
}

void meet_warp(const char* name, WarpAction action, void* lane) { block().meet_warp(name, action, lane); }
void sync_block() { block().sync(); }
std::byte* shared_memory() { return block().shared(); }
void check_shared(const char* operation, const void* row) { block().check_shared(operation, row); }

void cp_async_16(void* shared, const void* global, bool valid) {
  block().check_shared("cp_async_16", shared);
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
