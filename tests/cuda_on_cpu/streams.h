// Streams as queues. The default stream and all that are not cudaStreamNonBlocking share one, which is an order that
// the real runtime may choose too. Not there: events in captures, captures of more than one stream.
#pragma once

#include <cuda_runtime.h>

#include "queue.h"

namespace filbert::cuda_on_cpu {

// All of these are to be called with the lock held.

// Recorded, if the stream is captured.
cudaError_t give(cudaStream_t, Work);
bool is_captured(cudaStream_t);

// Throws what work did wrong: a SimulationError.
cudaError_t wait_for(cudaStream_t);

// Everything of every stream. Does not throw, for the sake of destructors: the next call that waits does.
void finish_all();

}  // namespace filbert::cuda_on_cpu
