// Opening, describing and closing a device for the op table.
#include <cstdio>

#include "cuda/backend.h"
#include "cuda/context.h"
#include "cuda/gemm_sm90.h"

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

}  // namespace

void add_context(filbert_backend& table) {
  table.probe = probe;
  table.open = open;
  table.close = close;
  table.describe = describe;
  table.error_message = error_message;
}

}  // namespace filbert::cuda
