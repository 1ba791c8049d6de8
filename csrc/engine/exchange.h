// What a pass exchanges with a device: indices on their way to it, results on their way back, in memory that both see.
// So a pass can be given to the device while the one before it is still under way.
#pragma once

#include <vector>

#include "engine/arena.h"

namespace filbert {

// Columns [column, column + width) of rows of `stride` numbers.
struct Target {
  Target(float* rows, std::size_t all) : to(rows), width(all), stride(all) {}
  Target(float* rows, std::size_t all, std::size_t begin, std::size_t end)
      : to(rows), width(end - begin), stride(all), column(begin) {}
  float* to;
  std::size_t width, stride, column = 0;
};

// Sequences [begin, end) of the packed batch.
struct Pass {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t squares_before = 0;  // the sum of length^2 of the sequences before `begin`
};

// Rows of a pass, and where they go.
struct Delivery {
  const float* rows;  // [tokens of the pass, width], or of its sequences
  bool of_tokens;
  Pass pass;
  Target to;
};

class Exchange {
 public:
  explicit Exchange(const Ops& ops) : ops_(ops), memory_(ops, Arena::Memory::mapped) {}
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // A pass begins: all memory is free again. What it gave to the last one has been waited for.
  void begin();
  std::int32_t* indices(std::size_t count) { return memory_.take<std::int32_t>(count); }
  // Room for results, or null if they are too many to be kept.
  float* results(std::size_t count);
  void deliver_later(const Delivery& delivery) { deliveries_.push_back(delivery); }
  // The pass was given to the device.
  void end();

  // Waits for the pass, if there is one, and calls deliver(Delivery) for what it gave.
  template <typename Deliver>
  void finish(const Deliver& deliver) {
    if (!under_way_) return;
    ops_.wait(done_);
    under_way_ = false;
    for (const Delivery& delivery : deliveries_) deliver(delivery);
  }

 private:
  const Ops& ops_;
  Arena memory_;
  std::vector<Delivery> deliveries_;
  std::size_t kept_ = 0;  // numbers of results
  filbert_mark* done_ = nullptr;
  bool under_way_ = false;
};

}  // namespace filbert
