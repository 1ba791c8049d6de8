// Memory of a device for the op table: allocated, copied to and from it, and as weights.
#include "cuda/backend.h"
#include "cuda/context.h"
#include "cuda/weight.h"

namespace filbert::cuda {
namespace {

filbert_status alloc(filbert_context* context, std::size_t bytes, void** out) {
  return context->device.alloc(bytes, out);
}

void free_memory(filbert_context* context, void* pointer) {
  if (context->device.is_foreign()) return;
  const Current current(context->device);
  cudaFree(pointer);
}

filbert_status upload(filbert_context* context, void* device, const void* host, std::size_t bytes) {
  return on_device(*context,
                   [&] { return context->staging->uploads.write(context->shared_stream(), host, bytes, device); });
}

filbert_status read_as(Type type, filbert_context* context, float* host, const void* numbers, std::size_t count) {
  return on_device(
      *context, [&] { return context->staging->downloads.read(context->shared_stream(), type, numbers, count, host); });
}

filbert_status read(filbert_context* context, float* host, const void* activation, std::size_t count) {
  return read_as(context->type, context, host, activation, count);
}

filbert_status download(filbert_context* context, float* host, const float* device, std::size_t count) {
  return read_as(Type::f32, context, host, device, count);
}

filbert_status run_scatter(filbert_context* context, const filbert_scatter_args* args) {
  return on_stream(*context, "writing results", [&] {
    return scatter(context->type, {args->x, args->rows, args->count, args->width, args->out}, context->stream);
  });
}

cudaEvent_t event_of(filbert_mark* mark) { return reinterpret_cast<cudaEvent_t>(mark); }

filbert_status set_mark(filbert_context* context, filbert_mark** mark) {
  return on_stream(*context, kRunning, [&] {
    cudaEvent_t event = event_of(*mark);
    const cudaError_t error = event ? cudaSuccess : cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    *mark = reinterpret_cast<filbert_mark*>(event);
    return error == cudaSuccess ? cudaEventRecord(event, context->stream) : error;
  });
}

// For an event, not for the stream: that would fail, and spoil the recording, if another thread makes one.
filbert_status wait(filbert_context* context, filbert_mark* mark) {
  return on_device(*context, [&] { return check(cudaEventSynchronize(event_of(mark)), kRunning); });
}

void free_mark(filbert_context* context, filbert_mark* mark) {
  if (context->device.is_foreign()) return;
  const Current current(context->device);
  cudaEventDestroy(event_of(mark));
}

filbert_status sync(filbert_context* context) {
  filbert_mark* mark = nullptr;
  filbert_status status = set_mark(context, &mark);
  if (status == FILBERT_OK) status = wait(context, mark);
  if (mark) free_mark(context, mark);
  return status;
}

// Pinned memory is mapped: one address serves both sides.
filbert_status alloc_mapped(filbert_context* context, std::size_t bytes, void** out) {
  return on_device(*context, [&] { return check(cudaMallocHost(out, bytes), "allocating pinned memory"); });
}

// What was asked for before may still use it.
void free_mapped(filbert_context* context, void* memory) {
  if (context->device.is_foreign()) return;
  sync(context);
  const Current current(context->device);
  cudaFreeHost(memory);
}

filbert_status fetch(filbert_context* context, void* device, const void* mapped, std::size_t bytes) {
  return on_stream(*context, "uploading",
                   [&] { return cudaMemcpyAsync(device, mapped, bytes, cudaMemcpyHostToDevice, context->stream); });
}

filbert_status give(filbert_context* context, float* mapped, const void* activation, std::size_t count) {
  return on_stream(*context, "reading activations", [&] {
    return convert(dtype_of(context->type), activation, count, Type::f32, mapped, context->stream);
  });
}

void free_weight(filbert_context* context, filbert_weight* weight) {
  free_memory(context, weight->data);
  delete weight;
}

filbert_status make_weight(filbert_context* context, filbert_weight_kind kind, const filbert_host_tensor* parts,
                           std::size_t count, const filbert_input_norm*, filbert_weight** out) {
  auto* weight = new (std::nothrow) filbert_weight;
  if (!weight) return FILBERT_OUT_OF_MEMORY;
  const filbert_status status = on_stream(*context, [&] {
    return load_weight(context->device, context->stream, context->type, kind, parts, count, weight);
  });
  if (status == FILBERT_OK)
    *out = weight;
  else
    free_weight(context, weight);
  return status;
}

}  // namespace

void add_memory(filbert_backend& table) {
  table.alloc = alloc;
  table.free = free_memory;
  table.upload = upload;
  table.download = download;
  table.read = read;
  table.scatter = run_scatter;
  table.sync = sync;
  table.alloc_mapped = alloc_mapped;
  table.free_mapped = free_mapped;
  table.fetch = fetch;
  table.give = give;
  table.mark = set_mark;
  table.wait = wait;
  table.free_mark = free_mark;
  table.load_weight = make_weight;
  table.free_weight = free_weight;
}

}  // namespace filbert::cuda
