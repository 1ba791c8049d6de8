// What a block's barriers know of themselves.
#pragma once

#include <cstdint>
#include <map>

namespace filbert::cuda_on_cpu {

// In shared memory.
struct BarrierState {
  unsigned arrivals, pending;  // of a phase, and those that have not come
  std::int64_t bytes;          // announced and not there
  std::uint64_t phase;         // the one that runs
  unsigned maker;              // the thread that initialised it
  bool made;                   // barriers_are_made has followed
  std::uint64_t copied, seen;  // phases before these had a copy_box, were waited for
};
using Barriers = std::map<const void*, BarrierState>;

// By number.
inline constexpr unsigned kNamedBarriers = 16;
struct NamedBarrier {
  unsigned threads, came;
  std::uint64_t round;
};

// Bytes that were announced, or will be, are there.
void complete_bytes(const void* barrier, std::int64_t bytes);
// Fails if there are copies that nobody waited for.
void check_copies();
// Fails unless the current thread may use the barrier.
BarrierState& usable_barrier(const char* operation, const void* barrier);

}  // namespace filbert::cuda_on_cpu
