#include "cpu/turns.h"

#include <chrono>

namespace filbert::cpu {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t nanoseconds(std::chrono::nanoseconds time) { return time.count(); }

std::int64_t now() { return nanoseconds(std::chrono::steady_clock::now().time_since_epoch()); }

// While others wait, a turn is over at the first job after this. A change within a forward costs about 0.25 ms, for its
// activations leave the caches.
constexpr std::int64_t kTurn = nanoseconds(50ms);

// No forward joins a turn of short ones after this. A change of turns costs more than it seems: who is woken is often
// put beside a thread that computes, and the core that has become free stays idle for milliseconds.
constexpr std::int64_t kShortForwards = nanoseconds(10ms);

// A caller that was back within this after its last forward finds its turn not over.
constexpr std::int64_t kBack = nanoseconds(1ms);

// A caller that is back within this finds its seat empty, not a helper to wait for.
constexpr std::int64_t kAway = nanoseconds(100us);

// Callers rest after a forward. Only one that failed does not.
constexpr std::int64_t kLongestIdle = nanoseconds(50ms);

// How often who waits looks for turns that have come to no end, in case that nobody computes.
constexpr auto kLook = 5ms;

// What the thread holds, if the turn is still that of the seat.
thread_local struct {
  Turns* turns;
  Seat* seat;
  std::uint64_t turn;
  std::int64_t end_of_forward;
  bool comes_back;  // within kBack
} held;

// At the first job of a forward.
void note_return() { held.comes_back = now() - held.end_of_forward < kBack; }

}  // namespace

void Turns::set_limit(int threads) {
  const std::lock_guard lock(mutex_);
  for (; seat_count_ < threads; ++seat_count_) seats_.store(new Seat(seats()), std::memory_order_release);
  limit_ = threads;
  seat_waiters();
}

void Turns::free_scratch() {
  const std::lock_guard lock(mutex_);
  for (Seat* seat = seats(); seat; seat = seat->next) {
    if (seat->turn != 0) free_seat(*seat);
    seat->scratch = Scratch();
  }
}

bool Turns::is_crowded() const {
  return computing_.load(std::memory_order_relaxed) > limit_.load(std::memory_order_relaxed);
}

Seat& Turns::begin_job() {
  if (held.turns == this) {
    std::uint64_t turn = held.turn;
    if (held.seat->turn.compare_exchange_strong(turn, turn + 1, std::memory_order_acquire)) {
      const bool over = waiting_.load(std::memory_order_relaxed) > 0 && now() - held.seat->since > kTurn;
      if (!over && !is_crowded()) {
        if (held.seat->resting.exchange(false)) {
          resting_.fetch_sub(1);
          note_return();
        }
        return *held.seat;
      }
      held.seat->turn.store(held.turn, std::memory_order_release);
      leave();
    }
  }
  note_return();
  wait_for_turn();
  return *held.seat;
}

void Turns::end_job(Seat& seat) {
  seat.kept_until.store(now() + kLongestIdle, std::memory_order_relaxed);
  seat.turn.store(held.turn, std::memory_order_release);
  if (resting_.load(std::memory_order_relaxed) > 0 && find_idle_turn()) {
    const std::lock_guard lock(mutex_);
    end_idle_turns();
  }
}

void Turns::wait_for_turn() {
  Waiter me;
  std::unique_lock lock(mutex_);
  *end_ = &me;
  end_ = &me.next;
  waiting_.fetch_add(1);
  seat_waiters();
  while (!me.seat)
    if (me.seated.wait_for(lock, kLook) == std::cv_status::timeout) end_idle_turns();
  held.turns = this;
  held.seat = me.seat;
  held.turn = me.seat->turn - 1;
}

void Turns::rest() {
  if (held.turns != this) return;
  held.end_of_forward = now();
  const std::lock_guard lock(mutex_);
  Seat& seat = *held.seat;
  const bool is_short = held.end_of_forward - seat.since < kShortForwards;
  // Others that compute take the seat if it is kept in vain.
  const bool keep = seat.turn == held.turn && held.comes_back && is_short && first_ && computing_ - resting_ > 1;
  if (!keep) return end_turn();
  seat.kept_until = held.end_of_forward + kBack;
  if (!seat.resting.exchange(true)) resting_.fetch_add(1);
}

void Turns::leave() {
  if (held.turns != this) return;
  const std::lock_guard lock(mutex_);
  end_turn();
}

// Of the calling thread, if it still has it. Needs the mutex, as all that follows.
void Turns::end_turn() {
  held.turns = nullptr;
  if (held.seat->turn / 2 == held.turn / 2) free_seat(*held.seat);
}

// Makes room for others, and seats them.
void Turns::free_seat(Seat& seat) {
  seat.turn.store(0);
  if (seat.resting.exchange(false)) resting_.fetch_sub(1);
  const bool others = computing_.fetch_sub(1) > 1;
  if (others && !first_) {
    const std::int64_t time = now();
    away_ = time < away_until_ ? away_ + 1 : 1;
    away_until_ = time + kAway;
  }
  seat_waiters();
}

void Turns::seat_waiters() {
  while (first_ && take_place()) {
    Waiter& waiter = *first_;
    Seat* seat = seats();
    while (seat->turn != 0) seat = seat->next;
    seat->since = now();
    seat->turn = 2 * ++turns_ + 1;  // in a job, so that it is not idle while its thread wakes up
    first_ = waiter.next;
    if (!first_) end_ = &first_;
    waiting_.fetch_sub(1);
    if (away_ > 0) away_.fetch_sub(1);
    waiter.seat = seat;
    waiter.seated.notify_one();
  }
}

bool Turns::take_place() {
  int seen = computing_.load();
  while (seen < limit_)
    if (computing_.compare_exchange_weak(seen, seen + 1)) return true;
  return false;
}

// One that is not kept for its caller any longer.
Seat* Turns::find_idle_turn() const {
  const std::int64_t time = now();
  for (Seat* seat = seats(); seat; seat = seat->next) {
    const std::uint64_t turn = seat->turn;
    if (turn != 0 && turn % 2 == 0 && seat->kept_until < time) return seat;
  }
  return nullptr;
}

void Turns::end_idle_turns() {
  while (Seat* const seat = find_idle_turn()) {
    std::uint64_t turn = seat->turn;
    if (turn % 2 == 0 && seat->turn.compare_exchange_strong(turn, 0)) free_seat(*seat);
  }
}

int Turns::room() const {
  const int away = away_.load(std::memory_order_relaxed);
  const int kept = away > 0 && now() < away_until_.load(std::memory_order_relaxed) ? away : 0;
  return limit_.load(std::memory_order_relaxed) - computing_.load(std::memory_order_relaxed) - kept;
}

bool Turns::begin_helping() { return !is_wanted() && room() > 0 && take_place(); }

void Turns::end_helping() {
  computing_.fetch_sub(1);
  if (waiting_.load() == 0) return;
  const std::lock_guard lock(mutex_);
  seat_waiters();
}

}  // namespace filbert::cpu
