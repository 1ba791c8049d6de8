#include "block.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace filbert::cuda_on_cpu {
namespace {

constexpr std::uint32_t kAllLanes = 0xffffffffu;
constexpr std::size_t kZone = 4096;  // before and after shared memory, where nobody may write
constexpr std::byte kUntouched{0xa5};

void thread_entry() {
  Fiber::started();
  block().run_thread();
  block().end();
}

}  // namespace

Block& block() {
  static auto& one = *new Block;  // for those who wait for a kernel when the process ends
  return one;
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
    thread.registers = 0;
  }
  later_.clear();
  doing_ = {};
  patience_[0] = patience_[1] = registers_ = 0;
  barriers_.clear();
  std::fill(std::begin(named_barriers_), std::end(named_barriers_), NamedBarrier{});
  four_warps_.clear();
  const unsigned warps = count_ / kWarp;
  for (unsigned i = 0; i < warps; ++i) warps_[i] = {kAllLanes, 0, 0, 0, nullptr, nullptr};
  ready_warps_ = kAllLanes >> (kMostWarps - warps);
  syncing_ = ended_ = 0;
  current_ = random_->bit(ready_warps_) * kWarp;
  current_ = pick();
  threadIdx = current().index;
  Fiber::switch_to(host_, current().fiber);
  check_zones();
  if (!error_.empty()) throw SimulationError(error_);
}

// Aligned to 128 bytes and no more, so that a kernel that needs more and does not see to it fails.
void Block::prepare_shared(std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory_.data(), memory_.size());
#endif
  memory_.resize(std::max(memory_.size(), bytes + 2 * kZone + 1024));
  const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + kZone;
  shared_begin_ = memory_.data() + kZone + (1024 + 128 - address % 1024) % 1024;
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
  if (!later_.empty()) do_beside();
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

void Block::sync(const char* name) {
  if (syncing_ == 0)
    sync_name_ = name;
  else if (sync_name_ != name)
    fail("a thread came to " + std::string(name) + " while others wait at " + sync_name_);
  const unsigned index = current_ / kWarp;
  Warp& warp = warps_[index];
  warp.ready &= ~(1u << current_ % kWarp);
  if (warp.ready == 0) ready_warps_ &= ~(1u << index);
  if (++syncing_ == count_) {
    syncing_ = 0;
    ready_warps_ = kAllLanes >> (kMostWarps - count_ / kWarp);
    for (unsigned i = 0; i < count_ / kWarp; ++i) warps_[i].ready = kAllLanes;
  }
  next();
}

void Block::park(const Parked& why) {
  const unsigned index = current_ / kWarp;
  const std::uint32_t lane = 1u << current_ % kWarp;
  Warp& warp = warps_[index];
  current().parked = why;
  warp.ready &= ~lane;
  warp.parked |= lane;
  if (warp.ready == 0) ready_warps_ &= ~(1u << index);
  next();
}

void Block::wake(const void* at, std::uint64_t number) {
  for (unsigned i = 0; i < count_ / kWarp; ++i) {
    Warp& warp = warps_[i];
    for (std::uint32_t left = warp.parked; left != 0; left &= left - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(left));
      const Parked& parked = threads_[i * kWarp + lane]->parked;
      if (parked.at != at || parked.number > number) continue;
      warp.parked &= ~(1u << lane);
      warp.ready |= 1u << lane;
      ready_warps_ |= 1u << i;
    }
  }
}

void Block::later(Later one) {
  constexpr unsigned kNever = 1u << 31, kOfCopies[] = {2, 32, 512, kNever}, kOfProducts[] = {64, 2048, kNever, kNever};
  if (patience_[0] == 0) {
    patience_[0] = kOfCopies[(*random_)() % 4];
    patience_[1] = kOfProducts[(*random_)() % 4];
  }
  later_.push_back(std::move(one));
}

void Block::do_beside() {
  const std::size_t chosen = (*random_)() % later_.size();
  if ((*random_)() % patience_[later_[chosen].queue != 0] == 0) do_later(chosen);
  while (ready_warps_ == 0 && !later_.empty()) do_later((*random_)() % later_.size());
}

void Block::do_later(std::size_t chosen) {
  const unsigned queue = later_[chosen].queue;
  if (queue != 0)
    for (chosen = 0; later_[chosen].queue != queue;) ++chosen;
  doing_ = std::move(later_[chosen]);
  later_.erase(later_.begin() + static_cast<std::ptrdiff_t>(chosen));
  doing_.work();
}

FourWarps& Block::four_warps() {
  const std::size_t index = current_ / kFourWarps;
  if (four_warps_.size() <= index) four_warps_.resize(index + 1);
  if (!four_warps_[index]) four_warps_[index] = std::make_unique<FourWarps>();
  return *four_warps_[index];
}

void Block::set_registers(unsigned count) {
  constexpr unsigned kMost = 65536;
  registers_ += count - std::exchange(current().registers, count);
  if (registers_ > kMost) fail("more registers than there are");
}

void Block::end() {
  if (!current().copies.empty()) fail("ended before cp_async_wait");
  if (!four_warps_.empty() && four_warps().has_sums_of(current_ % kFourWarps)) fail("ended before products_wait");
  const unsigned index = current_ / kWarp;
  const std::uint32_t lane = 1u << current_ % kWarp;
  Warp& warp = warps_[index];
  warp.ready &= ~lane;
  warp.ended |= lane;
  if (warp.ready == 0) ready_warps_ &= ~(1u << index);
  ++ended_;
  if (ended_ == count_) check_copies();
  next(true);
}

std::string Block::who_waits() const {
  std::map<std::string, unsigned> places;
  if (syncing_ > 0) places[std::string("wait at ") + sync_name_] = syncing_;
  if (ended_ > 0) places["have ended"] = ended_;
  for (unsigned i = 0; i < count_ / kWarp; ++i) {
    const auto waiting = static_cast<unsigned>(std::popcount(warps_[i].waiting));
    if (waiting > 0) places[std::string("wait at ") + warps_[i].name] += waiting;
    for (std::uint32_t left = warps_[i].parked; left != 0; left &= left - 1) {
      const Parked& parked = threads_[i * kWarp + static_cast<unsigned>(std::countr_zero(left))]->parked;
      ++places["wait " + parked.place(parked)];
    }
  }
  std::string text = "of " + std::to_string(count_) + " threads";
  for (const auto& [place, threads] : places)
    text += (&place == &places.begin()->first ? " " : ", ") + std::to_string(threads) + " " + place;
  return text;
}

void Block::check_shared(const char* operation, const void* first, std::size_t bytes, std::size_t alignment) {
  const auto begin = reinterpret_cast<std::uintptr_t>(shared_begin_);
  const auto address = reinterpret_cast<std::uintptr_t>(first);
  const auto at = static_cast<std::ptrdiff_t>(address - begin);
  if (address < begin || address + bytes > begin + shared_bytes_)
    fail(std::string(operation) + ": " + std::to_string(bytes) + " bytes at " + std::to_string(at) + " of " +
         std::to_string(shared_bytes_) + " bytes of shared memory");
  if (address % alignment != 0)
    fail(std::string(operation) + ": shared memory at " + std::to_string(at) + " is not aligned to " +
         std::to_string(alignment) + " bytes");
}

// The stack is left as it is: nothing on it may own memory.
void Block::fail(std::string what) {
  error_ = what + " (in thread " + name_of(threadIdx) + ")";
  std::string().swap(what);
  Fiber::switch_to(current().fiber, host_);
  std::abort();  // nobody switches back
}

}  // namespace filbert::cuda_on_cpu
