// The op table of a CUDA device. Its ops are put on the one stream of a context, so calls from several threads are
// ordered there; reading results back is where a caller waits.
#include "cuda/backend.h"

namespace filbert::cuda {

const filbert_backend* backend() {
  static const filbert_backend table = [] {
    filbert_backend made = {};
    made.abi = FILBERT_BACKEND_ABI;
    made.name = "cuda";
    add_context(made);
    add_memory(made);
    add_ops(made);
    add_recordings(made);
    return made;
  }();
  return &table;
}

}  // namespace filbert::cuda
