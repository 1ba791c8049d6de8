#include "cpu/threads.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <memory>

#include "cpu/crew.h"

namespace filbert::cpu {
namespace {

// Threads do not survive a fork.
std::atomic<unsigned> fork_generation{0};

// When the library is loaded: at the first pool, a fork by another thread could come before it is done.
[[maybe_unused]] const int watching_forks = pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1); });

// How many pools there are by their threads. Not under a lock, which a fork could find taken.
std::array<std::atomic<int>, kMaxThreads + 1> pools;

int largest_pool() {
  int threads = kMaxThreads;
  while (threads > 0 && pools[static_cast<std::size_t>(threads)] == 0) --threads;
  return threads;
}

struct OfProcess {
  const unsigned generation = fork_generation.load();
  Crew crew;
};

// Never freed. After a fork the old one is left behind: another thread may have held its locks.
std::atomic<OfProcess*> latest{nullptr};

// Null before the first use.
Crew* find_crew() {
  OfProcess* found = latest.load(std::memory_order_acquire);
  return found && found->generation == fork_generation.load(std::memory_order_relaxed) ? &found->crew : nullptr;
}

// Threads that come at once all make a new one, and one of them is taken.
Crew& make_crew() {
  OfProcess* seen = latest.load(std::memory_order_acquire);
  if (Crew* crew = find_crew()) return *crew;
  auto made = std::make_unique<OfProcess>();
  return latest.compare_exchange_strong(seen, made.get()) ? made.release()->crew : seen->crew;
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  std::atomic<int>& alike = pools[static_cast<std::size_t>(threads)];
  alike.fetch_add(1);
  try {
    make_crew().fit(largest_pool);
  } catch (...) {
    alike.fetch_sub(1);
    throw;
  }
}

ThreadPool::~ThreadPool() {
  if (Crew* crew = find_crew()) crew->leave();
  pools[static_cast<std::size_t>(threads_)].fetch_sub(1);
  try {
    if (Crew* crew = find_crew()) crew->fit(largest_pool);
  } catch (const std::exception&) {
    // another pool is being opened, and finds out itself
  }
}

void ThreadPool::run(const Work& work) {
  if (work.tasks == 0) return;
  Crew& crew = make_crew();
  if (crew.threads() < threads_) crew.fit(largest_pool);  // in a forked child
  try {
    crew.run(threads_, work);
  } catch (...) {
    crew.leave();
    throw;
  }
}

void ThreadPool::rest() {
  if (Crew* crew = find_crew()) crew->rest();
}

}  // namespace filbert::cpu
