#include "queue.h"

#include <exception>

#include "memory.h"

namespace filbert::cuda_on_cpu {
namespace {

std::exception_ptr& failure() {
  static auto& one = *new std::exception_ptr;
  return one;
}

}  // namespace

void Queue::do_next() {
  try {
    const DeviceWorks works;
    pending_.front()();
  } catch (...) {
    done_ = given();
    pending_.clear();
    throw;
  }
  pending_.pop_front();
  ++done_;
}

void Mark::reach(std::uint64_t most) const {
  for (std::uint64_t i = 0; i < most && !is_reached(); ++i) queue_->do_next();
}

void work_until(const Mark& mark, std::uint64_t most) {
  try {
    mark.reach(most);
  } catch (...) {
    if (!failure()) failure() = std::current_exception();
  }
}

bool has_failed() { return failure() != nullptr; }

void report_failure() {
  if (has_failed()) std::rethrow_exception(std::exchange(failure(), nullptr));
}

}  // namespace filbert::cuda_on_cpu
