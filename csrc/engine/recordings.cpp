#include "engine/recordings.h"

#include <algorithm>

namespace filbert {
namespace {

// A recording of BERT-base is some 90 kernels, well below a megabyte.
constexpr std::size_t kMost = 64;

}  // namespace

Recordings::Entry* Recordings::find(const Shape& shape) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.shape == shape; });
  return found == entries_.end() ? nullptr : &*found;
}

void Recordings::add(const Shape& shape) {
  if (generation_ != arena_.generation()) clear();  // the arena grew
  if (entries_.size() == kMost) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                         [](const Entry& a, const Entry& b) { return a.last_use < b.last_use; });
    if (oldest->recording) ops_.free_recording(oldest->recording);
    entries_.erase(oldest);
  }
  entries_.push_back({shape, nullptr, {}, ++clock_});
}

void Recordings::clear() {
  for (const Entry& entry : entries_)
    if (entry.recording) ops_.free_recording(entry.recording);
  entries_.clear();
  generation_ = arena_.generation();
}

}  // namespace filbert
