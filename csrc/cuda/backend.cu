// The op table of a CUDA device. Each op is a kernel or two on the one stream of the context, so calls from several
// threads are ordered there; reading results back is where a caller waits.
#include "cuda/backend.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <memory>
#include <mutex>
#include <new>

#include "cuda/experts.h"
#include "cuda/gemm_sm90.h"
#include "cuda/row_ops.h"
#include "cuda/staging.h"
#include "cuda/weight.h"

using filbert::cuda::check;
using filbert::cuda::Device;
using filbert::cuda::fail;
using filbert::cuda::SharedStream;
using filbert::cuda::Staging;
using filbert::cuda::Type;

struct filbert_context {
  Device device;
  Type type;
  bool is_sm90 = false;
  cudaStream_t stream = nullptr;
  std::recursive_mutex mutex;  // of who puts work on the stream; held while a recording is made
  std::unique_ptr<Staging> staging;

  SharedStream shared_stream() { return {device, stream, mutex}; }
};

namespace filbert::cuda {
namespace {

bool type_of(filbert_dtype dtype, Type& out) {
  switch (dtype) {
    case FILBERT_F32:
      out = Type::f32;
      return true;
    case FILBERT_F16:
      out = Type::f16;
      return true;
    case FILBERT_BF16:
      out = Type::bf16;
      return true;
    case FILBERT_F64:
    case FILBERT_I8:
      break;
  }
  return false;
}

// Runs body with the device current. Exceptions stop here: only status codes cross the table.
template <typename Body>
filbert_status on_device(const filbert_context& context, const Body& body) {
  const Current current(context.device);
  if (current.status() != FILBERT_OK) return current.status();
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return FILBERT_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    return fail(FILBERT_FAILED, error.what());
  }
}

// Runs body as the one who puts work on the stream.
template <typename Body>
filbert_status on_stream(filbert_context& context, const Body& body) {
  return on_device(context, [&] {
    const std::lock_guard lock(context.mutex);
    return body();
  });
}
template <typename Body>
filbert_status on_stream(filbert_context& context, const char* doing, const Body& body) {
  return on_stream(context, [&] { return check(body(), doing); });
}

constexpr char kRunning[] = "running the model";

void close(filbert_context* context) {
  if (context->device.is_foreign()) {
    context->staging.release();  // its memory is the parent's
  } else {
    const Current current(context->device);
    context->staging.reset();
    if (context->stream) cudaStreamDestroy(context->stream);
  }
  delete context;
}

filbert_status open(int device_index, int threads, filbert_dtype dtype, filbert_context** out) {
  if (threads < 0)
    return fail(FILBERT_INVALID_ARGUMENT, "num_threads=" + std::to_string(threads) + ": expected a positive number");
  Type type = {};
  if (!type_of(dtype, type))
    return fail(FILBERT_UNAVAILABLE, std::string("it does not compute in ") +
                                         (dtype == FILBERT_I8 ? "int8" : "float64") +
                                         ", only in float32, float16 and bfloat16");
  auto context = std::unique_ptr<filbert_context>(new (std::nothrow) filbert_context);
  if (context) context->staging.reset(new (std::nothrow) Staging);
  if (!context || !context->staging) return FILBERT_OUT_OF_MEMORY;
  context->type = type;
  filbert_status status = Device::open(device_index, context->device);
  if (status != FILBERT_OK) return status;
  const Current current(context->device);
  if (current.status() != FILBERT_OK) return current.status();
  status = check(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "creating a stream");
  if (status != FILBERT_OK) return status;
  const cudaDeviceProp& properties = context->device.properties();
  if (properties.major == 9 && properties.minor == 0)
    status = check(ask_for_sm90_code(context->is_sm90), "running a first kernel");
  if (status != FILBERT_OK) return status;
  *out = context.release();
  return FILBERT_OK;
}

// With more, a kernel of BERT-base takes longer than the host takes to launch it.
constexpr std::size_t kTokensToRecord = 8192;

void describe_gpu(const cudaDeviceProp& properties, filbert_device_description* out) {
  std::snprintf(out->name, sizeof(out->name), "%.127s", properties.name);
  std::snprintf(out->isa, sizeof(out->isa), "sm_%d%d", properties.major, properties.minor);
  out->isas[0] = '\0';
  out->note[0] = '\0';
  out->threads = 1;
}

filbert_status probe(int device_index, filbert_device_description* out) {
  cudaDeviceProp properties = {};
  const filbert_status status = Device::find(device_index, properties);
  if (status == FILBERT_OK) describe_gpu(properties, out);
  return status;
}

void describe(filbert_context* context, filbert_device_description* out) {
  describe_gpu(context->device.properties(), out);
  out->activation_bytes = size_of(context->type);
  out->activations_on_host = 0;
  out->tokens_per_pass = std::size_t{1} << 16;
  out->tokens_to_record = kTokensToRecord;
  out->query_tile = query_tile(context->type);
}

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

Chip chip_of(const filbert_context& context) {
  const cudaDeviceProp& properties = context.device.properties();
  return {properties.multiProcessorCount, properties.sharedMemPerBlockOptin, context.is_sm90};
}

filbert_status run_op(const filbert_context& context, const filbert_token_op& op, std::size_t tokens) {
  cudaError_t error = cudaSuccess;
  if (op.kind == FILBERT_LINEAR) {
    const filbert_linear_args& args = op.args.linear;
    error = linear(context.type,
                   {args.x, args.weight->data, floats_of(args.bias), args.residual, args.activation, tokens,
                    args.weight->rows, args.weight->cols, args.out, args.weight->gated},
                   chip_of(context), context.stream);
  } else if (!row_op(context.type, op, tokens, context.stream, error)) {
    return fail(FILBERT_FAILED, "there is no op of kind " + std::to_string(static_cast<int>(op.kind)));
  }
  return check(error, kRunning);
}

filbert_status token_ops(filbert_context* context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  return on_stream(*context, [&] {
    filbert_status status = FILBERT_OK;
    for (std::size_t i = 0; i < count && status == FILBERT_OK; ++i) {
      const bool next_alone = ops[i].readers == FILBERT_NEXT_ALONE && i + 1 < count;
      if (ops[i].kind == FILBERT_EMBED && next_alone && ops[i + 1].kind == FILBERT_NORM &&
          !ops[i + 1].args.norm.residual) {
        // The sums are read by the norm alone, and never written.
        status = check(embed_norm(context->type, ops[i].args.embed, ops[i + 1].args.norm, tokens, context->stream),
                       kRunning);
        ++i;
      } else {
        status = run_op(*context, ops[i], tokens);
      }
    }
    return status;
  });
}

// No distance between columns, which are 32-bit numbers, is larger.
std::int32_t clipped(std::size_t distance) {
  return static_cast<std::int32_t>(std::min<std::size_t>(distance, INT_MAX));
}

constexpr std::size_t kLargestHead = 256;  // for which there are kernels

// Runs body(Attention) on the stream.
template <typename Body>
filbert_status attend(filbert_context& context, const filbert_attention_args& args, const Body& body) {
  if (args.head_size > kLargestHead)
    return fail(FILBERT_UNAVAILABLE, "attention has heads of at most " + std::to_string(kLargestHead) +
                                         " numbers, not the " + std::to_string(args.head_size) + " of this model");
  return on_stream(context, kRunning, [&] {
    return body(Attention{*args.batch, args.q, args.k, args.v, args.heads, args.kv_heads, args.head_size, args.scale,
                          args.causal != 0, clipped(args.window), floats_of(args.bias), clipped(args.bias_reach),
                          args.rows, args.out, args.probabilities, args.probability_offsets});
  });
}

filbert_status run_attention(filbert_context* context, const filbert_attention_args* args) {
  return attend(*context, *args,
                [&](const Attention& task) { return attention(context->type, task, context->stream); });
}

filbert_status run_disentangled(filbert_context* context, const filbert_disentangled_args* args) {
  return attend(*context, args->attention, [&](const Attention& task) {
    return disentangled_attention(
        context->type, {task, args->position_k, args->position_q, floats_of(args->rows), clipped(args->reach)},
        context->stream);
  });
}

filbert_status run_neighbours(filbert_context* context, const filbert_neighbours_args* args) {
  return on_stream(*context, kRunning, [&] {
    return neighbours(context->type, {*args->batch, args->x, args->width, clipped(args->reach), args->out},
                      context->stream);
  });
}

std::size_t memory_of_experts(filbert_context* context, const filbert_experts_args* args) {
  return experts_memory(context->type, *args);
}

filbert_status run_experts(filbert_context* context, const filbert_experts_args* args) {
  return on_stream(*context, kRunning,
                   [&] { return experts(context->type, *args, chip_of(*context), context->stream); });
}

filbert_status run_gather(filbert_context* context, const filbert_gather_args* args) {
  return on_stream(*context, kRunning, [&] {
    return gather(context->type, {args->x, args->rows, args->count, args->width, args->out}, context->stream);
  });
}

filbert_status run_pool(filbert_context* context, const filbert_pool_args* args) {
  return on_stream(*context, kRunning, [&] {
    return pool(context->type,
                {args->x, args->batch->cu_seqlens, args->batch->sequences, args->width, args->pooling,
                 args->normalize != 0, args->out},
                context->stream);
  });
}

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

const filbert_backend* backend() {
  static constexpr filbert_backend table = {
      .abi = FILBERT_BACKEND_ABI,
      .name = "cuda",
      .probe = probe,
      .open = open,
      .close = close,
      .describe = describe,
      .error_message = error_message,
      .alloc = alloc,
      .free = free_memory,
      .upload = upload,
      .download = download,
      .read = read,
      .scatter = run_scatter,
      .sync = sync,
      .alloc_mapped = alloc_mapped,
      .free_mapped = free_mapped,
      .fetch = fetch,
      .give = give,
      .mark = set_mark,
      .wait = wait,
      .free_mark = free_mark,
      .load_weight = make_weight,
      .free_weight = free_weight,
      .token_ops = token_ops,
      .attention = run_attention,
      .disentangled_attention = run_disentangled,
      .neighbours = run_neighbours,
      .experts_memory = memory_of_experts,
      .experts = run_experts,
      .gather = run_gather,
      .pool = run_pool,
      .record_begin = record_begin,
      .record_end = record_end,
      .replay = replay,
      .free_recording = free_recording,
  };
  return &table;
}

}  // namespace filbert::cuda
