// A block of threads that runs: who can go on, who waits where, what shared memory holds.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "cuda_on_cpu/simulator.h"
#include "fiber.h"

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
  Warp warps_[kMostWarps];
  unsigned count_ = 0;    // of threads in this block
  unsigned current_ = 0;  // thread
  unsigned syncing_ = 0, ended_ = 0;
  std::uint32_t ready_warps_ = 0;
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
