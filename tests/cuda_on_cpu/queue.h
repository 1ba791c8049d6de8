// What the device was given to do and has not done yet. It works only while somebody waits, and does no more than what
// is waited for. So a host that does not wait finds old numbers, and the device what became of memory meanwhile.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace filbert::cuda_on_cpu {

using Work = std::function<void()>;

// Done in the order in which it came.
class Queue {
 public:
  void give(Work work) { pending_.push_back(std::move(work)); }
  std::uint64_t given() const { return done_ + pending_.size(); }
  std::uint64_t done() const { return done_; }

  // If it throws, what waits behind it is dropped. What was dropped counts as done.
  void do_next();

 private:
  std::deque<Work> pending_;
  std::uint64_t done_ = 0;
};

// All that a queue was given until the mark was made. Without a queue: nothing.
class Mark {
 public:
  Mark() = default;
  explicit Mark(std::shared_ptr<Queue> queue) : queue_(std::move(queue)), given_(queue_->given()) {}

  bool is_reached() const { return !queue_ || queue_->done() >= given_; }
  // Throws what work throws.
  void reach(std::uint64_t most = UINT64_MAX) const;

 private:
  std::shared_ptr<Queue> queue_;
  std::uint64_t given_ = 0;
};

// As Mark::reach. What work throws is kept, the first of it.
void work_until(const Mark&, std::uint64_t most = UINT64_MAX);
bool has_failed();
// Throws what was kept, once.
void report_failure();

}  // namespace filbert::cuda_on_cpu
