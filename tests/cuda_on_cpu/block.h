// A block of threads that runs: who can go on, who waits where, what shared memory holds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "barriers.h"
#include "cuda_on_cpu/simulator.h"
#include "fiber.h"
#include "wide_products.h"

namespace filbert::cuda_on_cpu {

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

inline constexpr unsigned kMostWarps = 32;

struct Copy {
  void* shared;
  const void* global;  // null: zeros
  std::uint64_t group;
};

// Why a thread waits, where it is not for its warp or its block.
struct Parked {
  const void* at;
  std::uint64_t number;
  std::string (*place)(const Parked&);  // in words
};

struct Thread {
  Fiber fiber;
  uint3 index;
  void* meeting;  // what it brought along
  std::deque<Copy> copies;
  std::uint64_t groups;  // committed
  Parked parked;
  unsigned registers;  // 0: as launched
};

// What is done beside the threads, in its own time.
struct Later {
  unsigned queue;  // 0: copies, in any order; others: products, in their order
  std::function<void()> work;
};

struct Warp {
  std::uint32_t ready, waiting, ended, parked;  // the others wait at sync_block
  const char* name;                             // of the meeting
  WarpAction action;
};

class Block {
 public:
  void run(const Launch& launch, uint3 index, Random& random);

  void meet_warp(const char* name, WarpAction action, void* argument);
  void sync(const char* name);
  void end();
  void check_shared(const char* operation, const void* begin, std::size_t bytes, std::size_t alignment);
  [[noreturn]] void fail(std::string what);

  // Until somebody wakes it; whether it may go on is its own to see.
  void park(const Parked&);
  // Those parked there with this number or a lower one.
  void wake(const void* at, std::uint64_t number = UINT64_MAX);
  // At a moment drawn from the seed, at the latest when no thread can go on.
  void later(Later);

  Thread& current() { return *threads_[current_]; }
  unsigned number() const { return current_; }  // of the thread
  unsigned count() const { return count_; }
  std::byte* shared() { return shared_begin_; }
  Barriers& barriers() { return barriers_; }
  NamedBarrier& named_barrier(unsigned number) { return named_barriers_[number]; }
  FourWarps& four_warps();
  void set_registers(unsigned count);
  void run_thread() { launch_->thread(); }

 private:
  void prepare_shared(std::size_t bytes);
  void check_zones();
  void next(bool last = false);
  void do_beside();
  void do_later(std::size_t chosen);
  unsigned pick();
  std::string who_waits() const;

  const Launch* launch_ = nullptr;
  Random* random_ = nullptr;
  Fiber host_;
  std::vector<std::unique_ptr<Thread>> threads_;  // kept for later blocks
  Warp warps_[kMostWarps];
  unsigned count_ = 0;    // of threads in this block
  unsigned current_ = 0;  // thread
  unsigned syncing_ = 0, ended_ = 0;
  const char* sync_name_ = nullptr;
  std::uint32_t ready_warps_ = 0;
  std::vector<Later> later_;
  Later doing_;
  unsigned patience_[2] = {};  // about so many turns of threads until a copy, a product is done; 0: not yet drawn
  Barriers barriers_;
  NamedBarrier named_barriers_[kNamedBarriers];
  std::vector<std::unique_ptr<FourWarps>> four_warps_;
  unsigned registers_ = 0;
  std::vector<std::byte> memory_;
  std::byte* shared_begin_ = nullptr;
  std::size_t shared_bytes_ = 0;
  std::string error_;
};

// "(x, y, z)"
std::string name_of(uint3 index);

// The one that there is.
Block& block();

}  // namespace filbert::cuda_on_cpu
