#include "engine/exchange.h"

namespace filbert {
namespace {

// More is read piece by piece, so that pinned memory stays small beside the results.
constexpr std::size_t kMostKept = std::size_t{1} << 21;

}  // namespace

// After an exception the device may still be at work on the memory.
Exchange::~Exchange() {
  if (done_) ops_.free_mark(done_);
}

void Exchange::begin() {
  memory_.reset();
  deliveries_.clear();
  kept_ = 0;
}

float* Exchange::results(std::size_t count) {
  if (count > kMostKept - kept_) return nullptr;
  kept_ += count;
  return memory_.take<float>(count);
}

void Exchange::end() {
  ops_.mark(done_);
  under_way_ = true;
}

}  // namespace filbert
