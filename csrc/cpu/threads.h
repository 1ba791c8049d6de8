// The threads of the process, as a model sees them: all models and callers share them. In a forked child they start
// anew, whatever threads and callers were doing.
#pragma once

#include <cstddef>

#include "cpu/default_threads.h"
#include "cpu/job.h"

namespace filbert::cpu {

class ThreadPool {
 public:
  // At most so many threads, the calling one included, work on a job at a time. std::bad_alloc, std::system_error.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Runs body(task, scratch) for every task in [0, tasks), and returns when all are done. Each thread has its own
  // scratch of at least `scratch_floats`, aligned to 64 bytes. Throws std::bad_alloc before anything has run.
  // The calling thread has a turn from its first job on, for which it waits here.
  template <typename Body>
  void run(std::size_t tasks, std::size_t scratch_floats, const Body& body) {
    run({[](const void* context, std::size_t task, float* scratch) {
           (*static_cast<const Body*>(context))(task, scratch);
         },
         &body, tasks, scratch_floats});
  }

  // The calling thread's forward is over.
  void rest();

 private:
  void run(const Work&);

  const int threads_;
};

}  // namespace filbert::cpu
