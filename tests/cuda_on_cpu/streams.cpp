// The functions of cuda_runtime.h that deal with streams, events and graphs.
#include "streams.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "calls.h"
#include "cuda_on_cpu/launch.h"

using filbert::cuda_on_cpu::Mark;
using filbert::cuda_on_cpu::Queue;
using filbert::cuda_on_cpu::Work;

// Shared, so that a graph may be destroyed before the device comes to it.
using Recording = std::shared_ptr<const std::vector<Work>>;

struct CUstream_st {
  std::shared_ptr<Queue> queue;
  bool capturing = false, spoilt = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  std::vector<Work> recorded;
};
struct CUevent_st {
  Mark recorded;
};
struct CUgraph_st {
  Recording recording;
};
struct CUgraphExec_st {
  Recording recording;
};

namespace filbert::cuda_on_cpu {
namespace {

CUstream_st& default_stream() {
  static auto& one = *new CUstream_st{.queue = std::make_shared<Queue>(), .recorded = {}};
  return one;
}

// In the order in which they were made.
template <typename T>
std::vector<T*>& handles() {
  static auto& all = *new std::vector<T*>;
  return all;
}

template <typename T>
bool is_live(T* handle) {
  return std::find(handles<T>().begin(), handles<T>().end(), handle) != handles<T>().end();
}

template <typename T>
cudaError_t create(T** out, T value = {}) {
  return call([&] {
    *out = new T(std::move(value));
    handles<T>().push_back(*out);
    return cudaSuccess;
  });
}

template <typename T>
cudaError_t destroy(T* handle) {
  return call([&] {
    if (!is_live(handle)) return cudaErrorInvalidResourceHandle;
    std::erase(handles<T>(), handle);
    delete handle;
    return cudaSuccess;
  });
}

CUstream_st* find(cudaStream_t stream) {
  if (!stream) return &default_stream();
  return is_live(stream) ? stream : nullptr;
}

cudaError_t check_not_capturing(cudaStream_t handle) {
  const CUstream_st* stream = find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  return stream->capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

// For who waits: a capture does not bear it, and is spoilt.
cudaError_t check_may_wait(cudaStream_t handle) {
  const cudaError_t error = check_not_capturing(handle);
  if (error == cudaErrorStreamCaptureUnsupported) find(handle)->spoilt = true;
  return error;
}

// A failure of earlier work, kept by finish_all, is thrown here too.
cudaError_t wait_until(const Mark& mark) {
  work_until(mark);
  report_failure();
  return cudaSuccess;
}

// One piece of work is done at each query, so that those who poll get to the end.
cudaError_t query(const Mark& mark) {
  work_until(mark, 1);
  report_failure();
  return mark.is_reached() ? cudaSuccess : cudaErrorNotReady;
}

}  // namespace

cudaError_t give(cudaStream_t handle, Work work) {
  CUstream_st* stream = find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->spoilt) return cudaErrorStreamCaptureInvalidated;
  if (stream->capturing)
    stream->recorded.push_back(std::move(work));
  else
    stream->queue->give(std::move(work));
  return cudaSuccess;
}

bool is_captured(cudaStream_t handle) {
  const CUstream_st* stream = find(handle);
  return stream && stream->capturing;
}

cudaError_t wait_for(cudaStream_t stream) {
  if (const cudaError_t error = check_may_wait(stream)) return error;
  return wait_until(Mark(find(stream)->queue));
}

void finish_all() {
  work_until(Mark(default_stream().queue));
  for (const CUstream_st* stream : handles<CUstream_st>()) work_until(Mark(stream->queue));
}

cudaError_t enqueue(cudaStream_t stream, Work work) {
  return call([&] { return give(stream, std::move(work)); });
}

}  // namespace filbert::cuda_on_cpu

using namespace filbert::cuda_on_cpu;

cudaError_t cudaDeviceSynchronize() {
  return synchronous_call([] {
    bool capturing = false;
    for (CUstream_st* stream : handles<CUstream_st>()) capturing |= check_may_wait(stream) != cudaSuccess;
    if (capturing) return cudaErrorStreamCaptureUnsupported;
    finish_all();
    report_failure();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const bool own = (flags & cudaStreamNonBlocking) != 0;
  return create(stream, {.queue = own ? std::make_shared<Queue>() : default_stream().queue, .recorded = {}});
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  {
    const std::lock_guard lock(runtime_mutex());
    if (is_live(stream)) work_until(Mark(stream->queue));
  }
  return destroy(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] { return wait_for(stream); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call([&] {
    const cudaError_t error = check_may_wait(stream);
    return error == cudaSuccess ? query(Mark(find(stream)->queue)) : error;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&] {
    if (!is_live(event)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_not_capturing(stream)) return error;
    return give(stream, [mark = event->recorded] { mark.reach(); });
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return create(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] {
    if (!is_live(event)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_not_capturing(stream)) return error;
    event->recorded = Mark(find(stream)->queue);
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] { return is_live(event) ? wait_until(event->recorded) : cudaErrorInvalidResourceHandle; });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] { return is_live(event) ? query(event->recorded) : cudaErrorInvalidResourceHandle; });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = 0;
  return call([&] {
    if (!is_live(begin) || !is_live(end)) return cudaErrorInvalidResourceHandle;
    return begin->recorded.is_reached() && end->recorded.is_reached() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call([&] {
    if (!stream || !find(stream)) return cudaErrorInvalidResourceHandle;
    if (stream->capturing) return cudaErrorInvalidValue;
    stream->capturing = true;
    stream->mode = mode;
    if (mode != cudaStreamCaptureModeRelaxed) ++strict_captures;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const cudaError_t error = call([&] {
    if (!stream || !find(stream)) return cudaErrorInvalidResourceHandle;
    if (!stream->capturing) return cudaErrorInvalidValue;
    stream->capturing = false;
    if (stream->mode != cudaStreamCaptureModeRelaxed) --strict_captures;
    if (!std::exchange(stream->spoilt, false)) return cudaSuccess;
    stream->recorded.clear();
    return cudaErrorStreamCaptureInvalidated;
  });
  if (error != cudaSuccess) return error;
  auto recording = std::make_shared<const std::vector<Work>>(std::exchange(stream->recorded, {}));
  return create(graph, {.recording = std::move(recording)});
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return create(exec, {.recording = graph->recording});
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call([&] {
    if (!is_live(exec)) return cudaErrorInvalidResourceHandle;
    return give(stream, [recording = exec->recording] {
      for (const Work& work : *recording) work();
    });
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return destroy(exec); }
