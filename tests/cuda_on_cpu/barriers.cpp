// Barriers in shared memory, and those by number. A wait knows the parity of a phase, not its number, as on the device.
#include "barriers.h"

#include "block.h"
#include "cuda/ptx_sm90.h"

namespace filbert::cuda_on_cpu {
namespace {

constexpr std::uint64_t kMade = 0x6272726965727321;               // what shared memory holds where a barrier is
constexpr std::int64_t kMostBytes = (std::int64_t{1} << 20) - 1;  // that a phase may wait for
constexpr unsigned kMostArrivals = (1u << 20) - 1;

std::string name_of(const void* barrier) {
  return "the barrier at byte " + std::to_string(static_cast<const std::byte*>(barrier) - block().shared()) +
         " of shared memory";
}

[[noreturn]] void fail(const char* operation, const void* barrier, const char* what) {
  std::string text = std::string(operation) + ": " + name_of(barrier) + " " + what;
  block().fail(std::move(text));
}

std::string place_of(const Parked& parked) {
  const BarrierState& state = block().barriers().at(parked.at);
  return "at " + name_of(parked.at) + " for parity " + std::to_string(parked.number) + " (in phase " +
         std::to_string(state.phase) + ", with " + std::to_string(state.pending) + " arrivals and " +
         std::to_string(state.bytes) + " bytes to come)";
}

void end_phase_if_complete(const void* barrier, BarrierState& state) {
  if (state.pending != 0 || state.bytes != 0) return;
  ++state.phase;
  state.pending = state.arrivals;
  block().wake(barrier);
}

void arrive(const char* operation, const void* barrier, std::int64_t bytes) {
  BarrierState& state = usable_barrier(operation, barrier);
  if (state.pending == 0) fail(operation, barrier, "has all arrivals of this phase");
  state.bytes += bytes;
  if (bytes > kMostBytes || state.bytes > kMostBytes) fail(operation, barrier, "cannot wait for so many bytes");
  --state.pending;
  end_phase_if_complete(barrier, state);
}

struct Meeting {
  unsigned number;
  unsigned threads;
  std::uint64_t round;  // in which it came
};

std::string place_of_named(const Parked& parked) {
  const auto* one = static_cast<const NamedBarrier*>(parked.at);
  return "at group_sync of barrier " + std::to_string(parked.number) + ", where " + std::to_string(one->came) + " of " +
         std::to_string(one->threads) + " threads have come";
}

// A warp comes as one.
void come(void* const (&lanes)[kWarp]) {
  const Meeting& first = *static_cast<Meeting*>(lanes[0]);
  for (const void* lane : lanes) {
    const auto* one = static_cast<const Meeting*>(lane);
    if (one->number != first.number || one->threads != first.threads)
      block().fail("lanes of a warp came to different numbered barriers");
  }
  NamedBarrier& barrier = block().named_barrier(first.number);
  if (barrier.came == 0)
    barrier.threads = first.threads;
  else if (barrier.threads != first.threads)
    block().fail("numbered barrier " + std::to_string(first.number) + " is of " + std::to_string(barrier.threads) +
                 " threads, not of " + std::to_string(first.threads));
  for (void* lane : lanes) static_cast<Meeting*>(lane)->round = barrier.round;
  barrier.came += kWarp;
  if (barrier.came < barrier.threads) return;
  barrier.came = 0;
  ++barrier.round;
  block().wake(&barrier);
}

Meeting meet(const char* operation, int number, int threads) {
  if (number < 1 || number >= static_cast<int>(kNamedBarriers))
    block().fail(std::string(operation) + ": there is no barrier " + std::to_string(number));
  if (threads <= 0 || threads % static_cast<int>(kWarp) != 0 || threads > static_cast<int>(block().count()))
    block().fail(std::string(operation) + ": " + std::to_string(threads) + " threads");
  Meeting mine = {static_cast<unsigned>(number), static_cast<unsigned>(threads), 0};
  meet_warp(operation, come, &mine);
  return mine;
}

}  // namespace

BarrierState& usable_barrier(const char* operation, const void* barrier) {
  block().check_shared(operation, barrier, sizeof(cuda::Barrier), alignof(cuda::Barrier));
  const auto found = block().barriers().find(barrier);
  if (found == block().barriers().end()) fail(operation, barrier, "is not initialised");
  if (!found->second.made) fail(operation, barrier, "is used before barriers_are_made");
  if (static_cast<const cuda::Barrier*>(barrier)->state != kMade) fail(operation, barrier, "was overwritten");
  return found->second;
}

void check_copies() {
  for (const auto& [barrier, state] : block().barriers())
    if (state.seen < state.copied) fail("copy_box", barrier, "was not waited for");
}

void complete_bytes(const void* barrier, std::int64_t bytes) {
  BarrierState& state = block().barriers().at(barrier);
  state.bytes -= bytes;
  end_phase_if_complete(barrier, state);
}

}  // namespace filbert::cuda_on_cpu

namespace filbert::cuda {

using namespace cuda_on_cpu;

void barrier_init(Barrier* barrier, unsigned arrivals) {
  block().check_shared("barrier_init", barrier, sizeof(Barrier), alignof(Barrier));
  if (arrivals == 0 || arrivals > kMostArrivals) fail("barrier_init", barrier, "cannot be of so many arrivals");
  if (block().barriers().contains(barrier)) fail("barrier_init", barrier, "is initialised already");
  block().barriers()[barrier] = {arrivals, arrivals, 0, 0, block().number(), false, 0, 0};
  barrier->state = kMade;
}

void barriers_are_made() {
  for (auto& [barrier, state] : block().barriers()) state.made = state.made || state.maker == block().number();
}

void barrier_expect(Barrier* barrier, unsigned bytes) { arrive("barrier_expect", barrier, bytes); }
void barrier_arrive(Barrier* barrier) { arrive("barrier_arrive", barrier, 0); }
void barrier_arrive_at(Barrier* barrier, unsigned rank) {
  if (rank != 0) block().fail("barrier_arrive_at: a cluster has one block here, of rank 0");
  arrive("barrier_arrive_at", barrier, 0);
}

void barrier_wait(Barrier* barrier, unsigned parity) {
  BarrierState& state = usable_barrier("barrier_wait", barrier);
  if (parity > 1) fail("barrier_wait", barrier, "knows the parities 0 and 1");
  while (state.phase % 2 == parity) block().park({barrier, parity, place_of});
  state.seen = state.phase;
}

void sync_cluster() { block().sync("sync_cluster"); }

void group_arrive(int number, int threads) { meet("group_arrive", number, threads); }
void group_sync(int number, int threads) {
  const Meeting mine = meet("group_sync", number, threads);
  const NamedBarrier& barrier = block().named_barrier(mine.number);
  while (barrier.round == mine.round) block().park({&barrier, mine.number, place_of_named});
}

namespace on_cpu {

void set_registers(unsigned count) { block().set_registers(count); }

}  // namespace on_cpu

}  // namespace filbert::cuda
