// Things that callers borrow for the length of a call, kept for the next one. Without a lock, which a fork by another
// thread could leave locked.
#pragma once

#include <array>
#include <atomic>
#include <memory>

namespace filbert::cpu {

template <typename T>
class Spares {
 public:
  Spares() = default;
  ~Spares() {
    for (std::atomic<T*>& each : kept_) delete each.load();
  }
  Spares(const Spares&) = delete;
  Spares& operator=(const Spares&) = delete;

  std::unique_ptr<T> take() {
    for (std::atomic<T*>& each : kept_)
      if (each.load(std::memory_order_relaxed))
        if (T* const found = each.exchange(nullptr, std::memory_order_acquire)) return std::unique_ptr<T>(found);
    return std::make_unique<T>();
  }

  void give_back(std::unique_ptr<T> used) {
    for (std::atomic<T*>& each : kept_) {
      T* none = nullptr;
      if (each.compare_exchange_strong(none, used.get(), std::memory_order_release)) return void(used.release());
    }
  }

 private:
  std::array<std::atomic<T*>, 64> kept_ = {};  // of more callers than that, some make their own each time
};

}  // namespace filbert::cpu
