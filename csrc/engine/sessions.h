// The sessions of a model. Taken and given back without a lock: a lock that another thread holds while the process
// forks stays locked in the child for ever. A session in use by another thread at the fork is lost to the child.
#pragma once

#include <array>
#include <atomic>
#include <exception>
#include <memory>

#include "engine/passes.h"

namespace filbert {

class Sessions {
 public:
  explicit Sessions(const Ops& ops) : ops_(ops) {}
  ~Sessions() {
    for (Slot& slot : slots_) delete slot.load();
  }
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  std::unique_ptr<Session> take() {
    for (Slot& slot : slots_)
      if (slot.load(std::memory_order_relaxed))
        if (Session* session = slot.exchange(nullptr, std::memory_order_acquire))
          return std::unique_ptr<Session>(session);
    return std::make_unique<Session>(ops_);
  }

  void give_back(std::unique_ptr<Session> session) {
    for (Slot& slot : slots_) {
      Session* empty = nullptr;
      if (slot.compare_exchange_strong(empty, session.get(), std::memory_order_release, std::memory_order_relaxed)) {
        session.release();
        return;
      }
    }
  }

 private:
  using Slot = std::atomic<Session*>;

  const Ops& ops_;
  std::array<Slot, 8> slots_ = {};  // forwards that wait for nobody each have a session; this many are kept
};

// A session for the length of one call. One that saw an exception is thrown away.
class Lease {
 public:
  explicit Lease(Sessions& sessions) : sessions_(sessions), session_(sessions.take()) {}
  ~Lease() {
    if (std::uncaught_exceptions() == exceptions_) sessions_.give_back(std::move(session_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Session& operator*() { return *session_; }

 private:
  Sessions& sessions_;
  std::unique_ptr<Session> session_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace filbert
