// The passes of a forward, one after the other. A device has the next one to go on with while the results of the last
// are brought away.
#pragma once

#include <filbert/error.h>

#include <utility>

#include "engine/outputs.h"

namespace filbert {

// On the host, the caller's turn ends with its forward, whichever way that ends.
class HostTurn {
 public:
  explicit HostTurn(const Ops& ops) : ops_(ops) {}
  ~HostTurn() {
    if (ops_.device().activations_on_host) ops_.sync();
  }
  HostTurn(const HostTurn&) = delete;
  HostTurn& operator=(const HostTurn&) = delete;

 private:
  const Ops& ops_;
};

// Calls body(pass, batch, exchange) for each pass of the session's packed batch. Throws Interrupted between two.
template <typename Body>
void for_each_pass(const Ops& ops, Session& session, const ForwardOptions& options, const Body& body) {
  const HostTurn turn(ops);
  const bool on_host = ops.device().activations_on_host;
  const auto bring = [&](const Delivery& delivery) { deliver(session.packed, delivery); };
  Exchange* now = &session.exchanges[0];
  Exchange* before = &session.exchanges[1];
  for (Pass pass; pass.end < session.packed.sequences();) {
    if (pass.end > 0 && options.interrupted && options.interrupted()) throw Interrupted("the forward was interrupted");
    session.arena.reset();
    session.results.reset();
    now->begin();
    pass = next_pass(session.packed, pass, ops.device().tokens_per_pass);
    body(pass, upload(ops, pass, session, *now), *now);
    if (!on_host) now->end();
    before->finish(bring);
    std::swap(now, before);
  }
  before->finish(bring);
  session.arena.reset();
  session.results.reset();
}

}  // namespace filbert
