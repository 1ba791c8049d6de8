#include "cpu/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

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

// Threads do not survive a fork; a pool that finds another generation starts anew.
std::atomic<unsigned> fork_generation{0};

// When the library is loaded: at the first pool, a fork by another thread could come before it is done.
[[maybe_unused]] const int watching_forks = pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1); });

// Cores granted by the cgroup quota (v2, then v1), or 0 for no limit.
int quota_cores() {
  long long quota = -1, period = 0;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {
    if (std::fscanf(file, "%lld %lld", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else {
    const auto read = [](const char* path, long long& value) {
      if (std::FILE* number = std::fopen(path, "re")) {
        if (std::fscanf(number, "%lld", &value) != 1) value = -1;
        std::fclose(number);
      }
    };
    read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
    read("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period);
  }
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp<long long>((quota + period - 1) / period, 1, kMaxThreads));
}

int allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

struct FreeAligned {
  void operator()(float* p) const { ::operator delete[](p, std::align_val_t{64}); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

}  // namespace

int default_threads(const char** error) {
  *error = nullptr;
  if (const char* text = std::getenv("FILBERT_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end == '\0' && value >= 1 && value <= kMaxThreads) return static_cast<int>(value);
    *error = text;
    return 0;
  }
  const int cores = allowed_cores();
  const int quota = quota_cores();
  return std::min(kMaxThreads, quota > 0 ? std::min(cores, quota) : cores);
}

struct ThreadPool::State {
  // `turnstile` holds whether a job is open (high bit) and how many workers are inside it. A worker enters only while
  // the job is open, so a sleeper that wakes late finds the door closed and the caller need not wait for it.
  static constexpr std::uint32_t kOpen = 1u << 31;

  std::mutex turn;  // one caller at a time
  std::atomic<std::uint32_t> turnstile{0};
  std::atomic<int> job_number{0};
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> next{0};
  std::size_t tasks = 0;
  Function function = nullptr;
  const void* context = nullptr;
  std::size_t scratch_floats = 0;
  std::vector<AlignedFloats> scratch;  // the caller's first
  std::vector<std::thread> workers;
  unsigned generation = fork_generation.load();

  explicit State(int threads) : scratch(static_cast<std::size_t>(threads)) {
    workers.reserve(scratch.size() - 1);
    try {
      for (std::size_t i = 1; i < scratch.size(); ++i) workers.emplace_back([this, i] { work(i); });
    } catch (...) {
      join();
      throw;
    }
  }

  ~State() { join(); }

  void join() {
    stop.store(true);
    job_number.fetch_add(1);
    job_number.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void drain(float* own_scratch) {
    for (std::size_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;)
      function(context, task, own_scratch);
  }

  bool enter() {
    std::uint32_t seen = turnstile.load(std::memory_order_acquire);
    while (seen & kOpen)
      if (turnstile.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire)) return true;
    return false;
  }

  void work(std::size_t index) {
    int seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && job_number.load(std::memory_order_acquire) == seen; ++spin) pause();
      job_number.wait(seen, std::memory_order_acquire);
      seen = job_number.load(std::memory_order_acquire);
      if (stop.load()) return;
      if (!enter()) continue;
      drain(scratch[index].get());
      turnstile.fetch_sub(1, std::memory_order_release);
    }
  }

  void reserve_scratch(std::size_t floats) {
    if (floats <= scratch_floats) return;
    const std::size_t bytes = floats * sizeof(float);
    for (AlignedFloats& each : scratch) each.reset(static_cast<float*>(::operator new[](bytes, std::align_val_t{64})));
    scratch_floats = floats;
  }

  void run(std::size_t count, std::size_t floats, Function body, const void* data) {
    const std::lock_guard lock(turn);
    reserve_scratch(floats);
    tasks = count;
    function = body;
    context = data;
    next.store(0, std::memory_order_relaxed);
    if (workers.empty() || count == 1) return drain(scratch[0].get());
    turnstile.store(kOpen, std::memory_order_release);
    job_number.fetch_add(1, std::memory_order_release);
    job_number.notify_all();
    drain(scratch[0].get());
    turnstile.fetch_and(~kOpen, std::memory_order_acq_rel);
    for (int spin = 0; turnstile.load(std::memory_order_acquire) != 0; ++spin)
      spin < kSpins ? pause() : std::this_thread::yield();
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads), state_(new State(threads)) {}

ThreadPool::~ThreadPool() {
  State* state = state_.load();
  if (state->generation == fork_generation.load()) delete state;  // else its threads are the parent's
}

// After a fork the old state is left behind: another thread may have held its mutex. Threads of the child that come
// at once all make a new one, and one of them is taken.
ThreadPool::State& ThreadPool::state() {
  State* current = state_.load(std::memory_order_acquire);
  if (current->generation == fork_generation.load(std::memory_order_relaxed)) return *current;
  auto made = std::make_unique<State>(threads_);
  return state_.compare_exchange_strong(current, made.get()) ? *made.release() : *current;
}

void ThreadPool::run_erased(std::size_t tasks, std::size_t scratch_floats, Function function, const void* context) {
  if (tasks > 0) state().run(tasks, scratch_floats, function, context);
}

}  // namespace filbert::cpu
