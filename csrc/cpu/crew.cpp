#include "cpu/crew.h"

#include <algorithm>

#include "cpu/default_threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace filbert::cpu {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// About 50 us: longer than the gap between two ops of a forward, shorter than anything a person notices.
constexpr int kSpins = 2000;

}  // namespace

void Crew::fit(int (*largest)()) {
  const std::lock_guard lock(mutex_);
  const int threads = largest();
  const char* bad_variable = nullptr;
  turns_.set_limit(threads > 0 ? std::max(threads, default_threads(&bad_variable)) : 0);
  const auto wanted = static_cast<std::size_t>(std::max(0, threads - 1));
  const std::size_t before = workers_.size();
  workers_.reserve(wanted);
  try {
    while (workers_.size() < wanted) start_worker();
  } catch (...) {
    while (workers_.size() > before) stop_worker();
    throw;
  }
  while (workers_.size() > wanted) stop_worker();
  if (workers_.empty()) scratch_floats_ = 0;
  if (threads == 0) turns_.free_scratch();
  threads_.store(threads, std::memory_order_release);
}

void Crew::start_worker() {
  auto worker = std::make_unique<Worker>();
  if (scratch_floats_ > 0) worker->scratch = Scratch(scratch_floats_);
  worker->thread = std::thread([this, w = worker.get()] { work(*w); });
  workers_.push_back(std::move(worker));
}

void Crew::stop_worker() {
  Worker& worker = *workers_.back();
  worker.stop = true;
  calls_.fetch_add(1);
  calls_.notify_all();
  worker.thread.join();
  workers_.pop_back();
}

void Crew::reserve_scratch(std::size_t floats) {
  if (floats <= scratch_floats_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  if (floats <= scratch_floats_) return;
  std::vector<std::unique_ptr<Scratch>> made;
  for (std::size_t i = 0; i < workers_.size(); ++i) made.push_back(std::make_unique<Scratch>(floats));
  for (std::size_t i = 0; i < workers_.size(); ++i) delete workers_[i]->larger.exchange(made[i].release());
  scratch_floats_.store(floats, std::memory_order_release);
}

void Crew::run(int threads, const Work& work) {
  const int helpers = work.tasks > 1 ? threads - 1 : 0;
  if (helpers > 0) reserve_scratch(work.scratch_floats);
  Seat& seat = turns_.begin_job();
  if (seat.scratch.floats() < work.scratch_floats) seat.scratch = Scratch(work.scratch_floats);
  seat.job.open(work, helpers);
  int called = 0;
  const auto call = [&] {
    const int room = helpers > 0 ? std::min(helpers, turns_.room()) : 0;
    if (room > called) call_workers(room - called);
    called = std::max(called, room);
    return true;
  };
  call();
  seat.job.drain(seat.scratch.data(), call);
  for (int spin = 0; seat.job.has_helpers(); ++spin) spin < kSpins ? pause() : std::this_thread::yield();
  turns_.end_job(seat);
}

void Crew::call_workers(int wanted) {
  calls_.fetch_add(1);
  const int asleep = asleep_.load();
  if (wanted >= asleep) return calls_.notify_all();
  for (int i = 0; i < wanted; ++i) calls_.notify_one();
}

void Crew::work(Worker& worker) {
  for (;;) {
    const int seen = calls_.load();
    if (worker.stop) return;
    while (help(worker)) {
    }
    for (int spin = 0; spin < kSpins && calls_.load(std::memory_order_acquire) == seen && turns_.may_spin(); ++spin)
      pause();
    asleep_.fetch_add(1);
    calls_.wait(seen);
    asleep_.fetch_sub(1);
  }
}

// Whether there was something to do.
bool Crew::help(Worker& worker) {
  for (Seat* seat = turns_.seats(); seat; seat = seat->next) {
    if (!seat->job.is_open()) continue;
    if (!turns_.begin_helping()) return false;
    const bool inside = seat->job.enter();
    if (inside) {
      if (seat->job.work().scratch_floats > worker.scratch.floats())
        worker.scratch = std::move(*std::unique_ptr<Scratch>(worker.larger.exchange(nullptr)));
      seat->job.drain(worker.scratch.data(), [&] { return !turns_.is_wanted() && !worker.stop; });
      seat->job.leave();
    }
    turns_.end_helping();
    if (inside) return !worker.stop;
  }
  return false;
}

}  // namespace filbert::cpu
