// Recordings: the kernels of a forward pass as a graph, which one call launches.
#include "cuda/backend.h"
#include "cuda/context.h"

namespace filbert::cuda {
namespace {

// Relaxed: the arena may grow meanwhile, in this thread or another.
filbert_status record_begin(filbert_context* context) {
  const Current current(context->device);  // before the lock, which a fork may have left locked
  if (current.status() != FILBERT_OK) return current.status();
  context->mutex.lock();
  const filbert_status status = on_stream(
      *context, "recording", [&] { return cudaStreamBeginCapture(context->stream, cudaStreamCaptureModeRelaxed); });
  if (status != FILBERT_OK) context->mutex.unlock();
  return status;
}

filbert_status record_end(filbert_context* context, filbert_recording** out) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  const filbert_status status = on_stream(*context, "recording", [&] {
    cudaError_t error = cudaStreamEndCapture(context->stream, &graph);
    if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    return error;
  });
  context->mutex.unlock();
  *out = reinterpret_cast<filbert_recording*>(executable);
  return status;
}

cudaGraphExec_t graph_of(filbert_recording* recording) { return reinterpret_cast<cudaGraphExec_t>(recording); }

filbert_status replay(filbert_context* context, filbert_recording* recording) {
  return on_stream(*context, kRunning, [&] { return cudaGraphLaunch(graph_of(recording), context->stream); });
}

void free_recording(filbert_context* context, filbert_recording* recording) {
  if (context->device.is_foreign()) return;
  const Current current(context->device);
  cudaGraphExecDestroy(graph_of(recording));
}

}  // namespace

void add_recordings(filbert_backend& table) {
  table.record_begin = record_begin;
  table.record_end = record_end;
  table.replay = replay;
  table.free_recording = free_recording;
}

}  // namespace filbert::cuda
