// The functions of cuda_runtime.h. One lock: a call, or the work that a stream is given, at a time.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "cuda_on_cpu/launch.h"
#include "cuda_on_cpu/machine.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using Work = std::function<void()>;

struct CUstream_st {
  bool capturing = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  std::vector<Work> recorded;
};
struct CUevent_st {};
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};

namespace filbert::cuda_on_cpu {
namespace {

struct Memory {
  std::map<std::byte*, std::size_t> blocks;
  std::size_t bytes = 0;

  bool holds(const void* begin, std::size_t size) const {
    const auto* first = static_cast<const std::byte*>(begin);
    auto after = blocks.upper_bound(const_cast<std::byte*>(first));
    if (after == blocks.begin()) return false;
    --after;
    return first + size <= after->first + after->second;
  }
};

struct Runtime {
  std::recursive_mutex mutex;
  Machine machine;
  Memory device, pinned;
  std::set<void*> handles;
  CUstream_st default_stream;
};

Runtime& runtime() {
  static Runtime one;
  return one;
}

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local int strict_captures = 0;  // during which calls that are no work of a stream are errors

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// What every call begins with.
cudaError_t enter() {
  Machine& now = runtime().machine;
  if (now.driver != cudaSuccess) return now.driver;
  if (now.devices == 0) return cudaErrorNoDevice;
  if (now.calls_until_failure < 0) return cudaSuccess;
  return now.calls_until_failure-- == 0 ? now.failure : cudaSuccess;
}

template <typename Body>
cudaError_t call(Body body) {
  const std::lock_guard lock(runtime().mutex);
  if (const cudaError_t error = enter()) return remember(error);
  return remember(body());
}

// For what waits for the device or allocates on it.
template <typename Body>
cudaError_t synchronous_call(Body body) {
  return call([&] { return strict_captures > 0 ? cudaErrorStreamCaptureUnsupported : body(); });
}

// Device memory is the host's to touch only while the device works.
class DeviceWorks {
 public:
  DeviceWorks() {
#if defined(__SANITIZE_ADDRESS__)
    for (const auto& [begin, size] : runtime().device.blocks) __asan_unpoison_memory_region(begin, size);
#endif
  }
  ~DeviceWorks() {
#if defined(__SANITIZE_ADDRESS__)
    for (const auto& [begin, size] : runtime().device.blocks) __asan_poison_memory_region(begin, size);
#endif
  }
  DeviceWorks(const DeviceWorks&) = delete;
  DeviceWorks& operator=(const DeviceWorks&) = delete;
};

cudaError_t allocate(Memory& memory, std::size_t limit, void** out, std::size_t bytes) {
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > limit - std::min(limit, memory.bytes)) return cudaErrorMemoryAllocation;
  if (posix_memalign(out, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*out, 0xff, bytes);  // NaN
  memory.blocks[static_cast<std::byte*>(*out)] = bytes;
  memory.bytes += bytes;
  return cudaSuccess;
}

cudaError_t release(Memory& memory, void* block) {
  if (!block) return cudaSuccess;
  const auto found = memory.blocks.find(static_cast<std::byte*>(block));
  if (found == memory.blocks.end()) return cudaErrorInvalidValue;
  const DeviceWorks works;
  memory.bytes -= found->second;
  memory.blocks.erase(found);
  std::free(block);
  return cudaSuccess;
}

template <typename T>
cudaError_t create(T** out) {
  return call([&] {
    *out = new T;
    runtime().handles.insert(*out);
    return cudaSuccess;
  });
}

bool is_live(const void* handle) { return runtime().handles.count(const_cast<void*>(handle)) > 0; }

template <typename T>
cudaError_t destroy(T* handle) {
  return call([&] {
    if (runtime().handles.erase(handle) == 0) return cudaErrorInvalidResourceHandle;
    delete handle;
    return cudaSuccess;
  });
}

CUstream_st* find(cudaStream_t stream) {
  if (!stream) return &runtime().default_stream;
  return is_live(stream) ? stream : nullptr;
}

bool is_copy_in_bounds(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Memory& device = runtime().device;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) return true;
  return device.holds(to, bytes) == to_device && device.holds(from, bytes) == from_device;
}

// To be called with the lock held.
cudaError_t give(cudaStream_t handle, Work work) {
  CUstream_st* stream = find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->capturing) {
    stream->recorded.push_back(std::move(work));
  } else {
    const DeviceWorks works;
    work();
  }
  return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!is_copy_in_bounds(to, from, bytes, kind)) return cudaErrorInvalidValue;
  return give(stream, [=] { std::memmove(to, from, bytes); });
}

cudaError_t set(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!runtime().device.holds(to, bytes)) return cudaErrorInvalidValue;
  return give(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t check_not_capturing(cudaStream_t handle) {
  const CUstream_st* stream = find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  return stream->capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

// A failure that a free reports is that of earlier work: the memory is free all the same.
cudaError_t free_call(Memory& memory, void* block) {
  const std::lock_guard lock(runtime().mutex);
  if (strict_captures > 0) return remember(cudaErrorStreamCaptureUnsupported);
  const cudaError_t earlier = enter();
  const cudaError_t error = release(memory, block);
  return remember(earlier != cudaSuccess ? earlier : error);
}

cudaError_t check_event(cudaEvent_t event) { return is_live(event) ? cudaSuccess : cudaErrorInvalidResourceHandle; }

}  // namespace

Machine& machine() { return runtime().machine; }
std::size_t device_bytes() { return runtime().device.bytes; }
std::size_t pinned_bytes() { return runtime().pinned.bytes; }

cudaError_t enqueue(cudaStream_t stream, Work work) {
  return call([&] { return give(stream, std::move(work)); });
}

cudaError_t check_launch(const Launch& launch) {
  const auto threads = std::size_t{launch.block.x} * launch.block.y * launch.block.z;
  const bool fits = threads > 0 && threads <= 1024 && threads % kWarp == 0 && launch.grid.x <= 0x7fffffffu &&
                    launch.grid.y <= 65535 && launch.grid.z <= 65535;
  const std::lock_guard lock(runtime().mutex);
  if (!fits) return remember(cudaErrorInvalidConfiguration);
  return remember(launch.shared_bytes <= machine().shared_memory ? cudaSuccess : cudaErrorInvalidValue);
}

}  // namespace filbert::cuda_on_cpu

using namespace filbert::cuda_on_cpu;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define FILBERT_NAME(name) \
  case name:               \
    return #name;
    FILBERT_NAME(cudaSuccess)
    FILBERT_NAME(cudaErrorInvalidValue)
    FILBERT_NAME(cudaErrorMemoryAllocation)
    FILBERT_NAME(cudaErrorInitializationError)
    FILBERT_NAME(cudaErrorInvalidConfiguration)
    FILBERT_NAME(cudaErrorInsufficientDriver)
    FILBERT_NAME(cudaErrorNoDevice)
    FILBERT_NAME(cudaErrorInvalidDevice)
    FILBERT_NAME(cudaErrorNoKernelImageForDevice)
    FILBERT_NAME(cudaErrorInvalidResourceHandle)
    FILBERT_NAME(cudaErrorNotReady)
    FILBERT_NAME(cudaErrorIllegalAddress)
    FILBERT_NAME(cudaErrorLaunchFailure)
    FILBERT_NAME(cudaErrorStreamCaptureUnsupported)
    FILBERT_NAME(cudaErrorUnknown)
#undef FILBERT_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaDriverGetVersion(int* version) {
  const cudaError_t driver = machine().driver;
  *version = driver == cudaSuccess ? 13000 : driver == cudaErrorInsufficientDriver ? 11040 : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([&] {
    *count = machine().devices;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&] {
    *device = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&] {
    if (device < 0 || device >= machine().devices) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&] {
    if (device < 0 || device >= machine().devices) return cudaErrorInvalidDevice;
    *properties = {.name = "CUDA on CPU",
                   .totalGlobalMem = machine().memory,
                   .sharedMemPerBlockOptin = machine().shared_memory,
                   .major = 8,
                   .minor = 6,
                   .multiProcessorCount = machine().processors,
                   .l2CacheSize = 4 << 20};
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return synchronous_call([] { return cudaSuccess; });
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return synchronous_call([&] {
    const cudaError_t error = allocate(runtime().device, machine().memory, memory, bytes);
    const DeviceWorks poison_when_done;
    return error;
  });
}
cudaError_t cudaFree(void* memory) { return free_call(runtime().device, memory); }
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t) { return cudaMalloc(memory, bytes); }
cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return cudaFree(memory); }

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return synchronous_call([&] { return allocate(runtime().pinned, SIZE_MAX, memory, bytes); });
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) { return cudaMallocHost(memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return free_call(runtime().pinned, memory); }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&] {
    *total = machine().memory;
    *free = *total - std::min(*total, runtime().device.bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return synchronous_call([&] { return copy(to, from, bytes, kind, nullptr); });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&] { return copy(to, from, bytes, kind, stream); });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return synchronous_call([&] { return set(to, value, bytes, nullptr); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&] { return set(to, value, bytes, stream); });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return create(stream); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return create(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroy(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] { return check_not_capturing(stream); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call([&] { return check_not_capturing(stream); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&] { return find(stream) ? check_event(event) : cudaErrorInvalidResourceHandle; });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return create(event); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return create(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] { return find(stream) ? check_event(event) : cudaErrorInvalidResourceHandle; });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] { return check_event(event); });
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] { return check_event(event); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = 0;
  return call([&] { return is_live(begin) ? check_event(end) : cudaErrorInvalidResourceHandle; });
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
    return cudaSuccess;
  });
  if (error != cudaSuccess) return error;
  if (const cudaError_t full = create(graph)) return full;
  (*graph)->work = std::exchange(stream->recorded, {});
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t error = create(exec)) return error;
  (*exec)->work = graph->work;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call([&] {
    if (!is_live(exec)) return cudaErrorInvalidResourceHandle;
    return give(stream, [exec] {
      for (const Work& work : exec->work) work();
    });
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroy(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return destroy(exec); }
