// A persistent pool of threads. The caller of run() works too, so a pool of one has no threads of its own. In a forked
// child it starts anew, whatever its threads and callers were doing.
#pragma once

#include <atomic>
#include <cstddef>

namespace filbert::cpu {

// FILBERT_NUM_THREADS, else the cores this process may use: affinity mask and cgroup quota. Null `error`: fine.
int default_threads(const char** error);

inline constexpr int kMaxThreads = 1024;

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs body(task, scratch) for every task in [0, tasks), on all threads, and returns when all are done. Each thread
  // has its own scratch of at least `scratch_floats`, aligned to 64 bytes. Callers take turns. Throws std::bad_alloc
  // before anything has run.
  template <typename Body>
  void run(std::size_t tasks, std::size_t scratch_floats, const Body& body) {
    run_erased(
        tasks, scratch_floats,
        [](const void* context, std::size_t task, float* scratch) {
          (*static_cast<const Body*>(context))(task, scratch);
        },
        &body);
  }

 private:
  using Function = void (*)(const void* context, std::size_t task, float* scratch);
  struct State;

  void run_erased(std::size_t tasks, std::size_t scratch_floats, Function function, const void* context);
  State& state();

  int threads_;
  std::atomic<State*> state_;
};

}  // namespace filbert::cpu
