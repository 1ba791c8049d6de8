// Who computes. A caller has a turn, from its first job to rest(), in order of arrival; short forwards that follow each
// other share one. Helpers come in where callers leave room. No more threads compute at a time than there are cores, or
// than the largest num_threads if that is more.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "cpu/job.h"
#include "cpu/scratch.h"

namespace filbert::cpu {

// Of one caller that has a turn.
struct Seat {
  explicit Seat(Seat* after) : next(after) {}

  Job job;
  Scratch scratch;
  std::int64_t since = 0;                   // in nanoseconds, like those below
  std::atomic<std::int64_t> kept_until{0};  // for its caller, while that is not in a job
  std::atomic<bool> resting{false};         // between two short forwards of a turn
  std::atomic<std::uint64_t> turn{0};       // its number, times two, plus one in a job; 0: nobody's
  Seat* const next;
};

class Turns {
 public:
  // How many threads may compute at a time. std::bad_alloc.
  void set_limit(int threads);
  void free_scratch();  // there is no caller

  // The calling thread's seat, for one job: it keeps its turn if it has one that is not over, else waits for one.
  Seat& begin_job();
  void end_job(Seat&);
  // The calling thread's forward is over, and with it, as a rule, its turn. One that comes to no end is taken away when
  // somebody has waited for long.
  void rest();
  // The turn is over, whatever has been done of the forward.
  void leave();

  // How many helpers there is room for. Seats of callers that were here a moment ago are kept free for them.
  int room() const;
  // Whether a helper without work disturbs nobody.
  bool may_spin() const { return computing_.load(std::memory_order_relaxed) == 0 || room() > 0; }
  bool begin_helping();
  void end_helping();
  // Whether a helper has to leave.
  bool is_wanted() const { return waiting_.load(std::memory_order_relaxed) > 0 || is_crowded(); }

  Seat* seats() const { return seats_.load(std::memory_order_acquire); }

 private:
  struct Waiter {
    Seat* seat = nullptr;
    Waiter* next = nullptr;
    std::condition_variable seated = {};
  };

  bool is_crowded() const;
  void wait_for_turn();
  void end_turn();
  void seat_waiters();
  bool take_place();
  void free_seat(Seat&);
  Seat* find_idle_turn() const;
  void end_idle_turns();

  alignas(64) std::atomic<int> computing_{0};  // threads
  std::atomic<int> limit_{0};
  std::atomic<int> waiting_{0};
  std::atomic<int> resting_{0};  // seats
  std::atomic<int> away_{0};
  std::atomic<std::int64_t> away_until_{0};
  std::atomic<Seat*> seats_{nullptr};  // never freed

  alignas(64) std::mutex mutex_;
  int seat_count_ = 0;
  std::uint64_t turns_ = 0;
  Waiter* first_ = nullptr;
  Waiter** end_ = &first_;
};

}  // namespace filbert::cpu
