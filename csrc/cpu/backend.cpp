// The op table of the CPU: splits the ops over the threads and hands the shares to the kernels of the instruction set.
#include "cpu/backend.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "cpu/attention.h"
#include "cpu/context.h"
#include "cpu/dispatch.h"
#include "cpu/experts.h"
#include "cpu/token_ops.h"
#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

thread_local char message[512] = "";

filbert_status fail(filbert_status status, const std::string& text) {
  std::snprintf(message, sizeof(message), "%s", text.c_str());
  return status;
}

// Exceptions stop here: only status codes cross the table.
template <typename Body>
filbert_status guarded(const Body& body) {
  try {
    body();
    return FILBERT_OK;
  } catch (const std::bad_alloc&) {
    return fail(FILBERT_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(FILBERT_FAILED, error.what());
  }
}

const LinearKernel* linear_kernel(const Kernels& kernels, filbert_dtype dtype) {
  switch (dtype) {
    case FILBERT_F32:
      return &kernels.f32;
    case FILBERT_BF16:
      return &kernels.bf16;
    case FILBERT_I8:
      return &kernels.i8;
    case FILBERT_F16:
    case FILBERT_F64:
      break;
  }
  return nullptr;
}

// What a user should know of a dtype.
const char* note_of(const Kernels& kernels, filbert_dtype dtype) {
  if (dtype == FILBERT_BF16 && !kernels.multiplies_bf16)
    return "bfloat16 is widened to float32, which this processor multiplies faster";
  if (dtype == FILBERT_F32 && kernels.f32.format.in_parts)
    return "float32 products are made of six of bfloat16 parts, as precise as multiply-adds";
  return "";
}

// What describe() says that does not depend on what is open.
void describe_processor(const Kernels& kernels, filbert_dtype dtype, int threads, filbert_device_description* out) {
  std::string isas;
  for (const Kernels& each : available_kernels()) isas += (isas.empty() ? "" : ",") + std::string(each.isa);
  std::snprintf(out->name, sizeof(out->name), "%s", processor_name().c_str());
  std::snprintf(out->isa, sizeof(out->isa), "%s", kernels.isa);
  std::snprintf(out->isas, sizeof(out->isas), "%s", isas.c_str());
  std::snprintf(out->note, sizeof(out->note), "%s", note_of(kernels, dtype));
  out->threads = threads;
}

// The kernels and the number of threads that a device is opened with.
filbert_status choose(int device_index, int& threads, const Kernels*& kernels) {
  if (device_index != 0) return fail(FILBERT_UNAVAILABLE, "there is one cpu device, cpu");
  const char* bad_variable = nullptr;
  if (threads == 0) threads = default_threads(&bad_variable);
  if (bad_variable)
    return fail(FILBERT_INVALID_ARGUMENT,
                "FILBERT_NUM_THREADS=" + std::string(bad_variable) + ": expected 1 to " + std::to_string(kMaxThreads));
  if (threads < 1 || threads > kMaxThreads)
    return fail(FILBERT_INVALID_ARGUMENT, "num_threads=" + std::to_string(threads) + ": expected 1 to " +
                                              std::to_string(kMaxThreads) + ", or 0 for the default");
  std::string error;
  kernels = select_kernels(error);
  return kernels ? FILBERT_OK : fail(FILBERT_UNAVAILABLE, error);
}

filbert_status probe(int device_index, filbert_device_description* out) {
  int threads = 0;
  const Kernels* kernels = nullptr;
  const filbert_status status = choose(device_index, threads, kernels);
  if (status == FILBERT_OK)
    describe_processor(*kernels, kernels->multiplies_bf16 ? FILBERT_F32 : FILBERT_BF16, threads, out);
  return status;
}

filbert_status open(int device_index, int threads, filbert_dtype dtype, filbert_context** out) {
  const Kernels* kernels = nullptr;
  const filbert_status status = choose(device_index, threads, kernels);
  if (status != FILBERT_OK) return status;
  const LinearKernel* linear = linear_kernel(*kernels, dtype);
  if (!linear)
    return fail(FILBERT_UNAVAILABLE, std::string("it does not compute in ") +
                                         (dtype == FILBERT_F16 ? "float16" : "float64") +
                                         ", only in float32, bfloat16 and int8");
  const AttentionKernel& attention = dtype == FILBERT_F32 ? kernels->attention : kernels->fast_attention;
  return guarded([&] { *out = new filbert_context{*kernels, dtype, *linear, attention, ThreadPool(threads)}; });
}

void close(filbert_context* context) { delete context; }

// Enough rows that the weights, read once a pass, cost little beside the arithmetic; few enough that a pass of
// BERT-base (4 x 768 floats a token at the widest) stays within a large L3. Many threads have a whole share each.
std::size_t tokens_per_pass(const filbert_context& context) {
  const auto threads = static_cast<std::size_t>(context.pool.threads());
  return std::max<std::size_t>(1536, threads * context.linear.share_rows);
}

void describe(filbert_context* context, filbert_device_description* out) {
  describe_processor(context->kernels, context->dtype, context->pool.threads(), out);
  out->tokens_per_pass = tokens_per_pass(*context);
  out->tokens_to_record = 0;
  out->query_tile = 0;
  out->activation_bytes = sizeof(float);
  out->activations_on_host = 1;
}

const char* error_message() { return message; }

filbert_status alloc(filbert_context*, std::size_t bytes, void** out) {
  *out = ::operator new[](bytes, std::align_val_t{64}, std::nothrow);
  return *out ? FILBERT_OK : fail(FILBERT_OUT_OF_MEMORY, "out of memory: " + std::to_string(bytes) + " bytes wanted");
}

void free_memory(filbert_context*, void* pointer) { ::operator delete[](pointer, std::align_val_t{64}); }

filbert_status upload(filbert_context*, void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
  return FILBERT_OK;
}

filbert_status download(filbert_context*, float* host, const float* device, std::size_t count) {
  std::copy_n(device, count, host);
  return FILBERT_OK;
}

// The end of a forward.
filbert_status sync(filbert_context* context) {
  context->pool.rest();
  return FILBERT_OK;
}

// As many products of 255 and 127 as int32 holds the sum of.
constexpr std::size_t kMostInt8Columns = 65536;

filbert_status load_weight(filbert_context* context, filbert_weight_kind kind, const filbert_host_tensor* parts,
                           std::size_t count, const filbert_input_norm* input_norm, filbert_weight** out) {
  const bool is_matrix = kind == FILBERT_MATRIX || kind == FILBERT_GATED_MATRIX;
  if (context->dtype == FILBERT_I8 && is_matrix && parts[0].cols > kMostInt8Columns)
    return fail(FILBERT_UNAVAILABLE, "int8 sums at most " + std::to_string(kMostInt8Columns) + " products, not the " +
                                         std::to_string(parts[0].cols) + " of this layer");
  return guarded([&] {
    *out = make_weight(kind, parts, count, input_norm, context->dtype, context->linear.format, context->pool).release();
    context->pool.rest();
  });
}

void free_weight(filbert_context*, filbert_weight* weight) { delete weight; }

filbert_status token_ops(filbert_context* context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  return guarded([&] { run_token_ops(*context, ops, count, tokens); });
}

filbert_status attention(filbert_context* context, const filbert_attention_args* args) {
  return guarded([&] { run_attention(*context, *args); });
}

filbert_status disentangled(filbert_context* context, const filbert_disentangled_args* args) {
  return guarded([&] { run_disentangled(*context, *args); });
}

filbert_status neighbours(filbert_context* context, const filbert_neighbours_args* args) {
  return guarded([&] {
    const filbert_batch& batch = *args->batch;
    const auto* x = static_cast<const float*>(args->x);
    auto* out = static_cast<float*>(args->out);
    const auto reach = static_cast<std::int64_t>(args->reach);
    context->pool.run(batch.sequences, 0, [&](std::size_t s, float*) {
      const std::int32_t first = batch.key_begin ? batch.key_begin[s] : batch.cu_seqlens[s];
      const std::int32_t end = batch.cu_seqlens[s + 1];
      const std::int32_t end_key = batch.key_end ? batch.key_end[s] : end;
      std::int32_t next = first;  // no token of the sequence after it has been passed
      for (std::int32_t token = batch.cu_seqlens[s]; token < end; ++token) {
        const std::int64_t column = batch.columns[token];
        while (next < end_key && batch.columns[next] < column - reach) ++next;
        std::int32_t at = next;
        float* to = out + static_cast<std::size_t>(token) * (2 * args->reach + 1) * args->width;
        for (std::int64_t wanted = column - reach; wanted <= column + reach; ++wanted, to += args->width) {
          if (at < end_key && batch.columns[at] == wanted)
            std::copy_n(x + static_cast<std::size_t>(at++) * args->width, args->width, to);
          else
            std::fill_n(to, args->width, 0.0f);
        }
      }
    });
  });
}

std::size_t memory_of_experts(filbert_context*, const filbert_experts_args* args) { return experts_memory(*args); }

filbert_status experts(filbert_context* context, const filbert_experts_args* args) {
  return guarded([&] { run_experts(*context, *args); });
}

filbert_status gather(filbert_context*, const filbert_gather_args* args) {
  const auto* x = static_cast<const float*>(args->x);
  auto* out = static_cast<float*>(args->out);
  for (std::size_t i = 0; i < args->count; ++i)
    std::copy_n(x + static_cast<std::size_t>(args->rows[i]) * args->width, args->width, out + i * args->width);
  return FILBERT_OK;
}

filbert_status pool(filbert_context* context, const filbert_pool_args* args) {
  return guarded([&] {
    const auto* x = static_cast<const float*>(args->x);
    auto* out = static_cast<float*>(args->out);
    context->pool.run(args->batch->sequences, 0, [&](std::size_t s, float*) {
      const auto first = static_cast<std::size_t>(args->batch->cu_seqlens[s]);
      const auto tokens = static_cast<std::size_t>(args->batch->cu_seqlens[s + 1]) - first;
      if (tokens == 0) return;
      context->kernels.rows.pool(x + first * args->width, tokens, args->width, args->pooling, args->normalize != 0,
                                 out + s * args->width);
    });
  });
}

}  // namespace

const filbert_backend* backend() {
  static constexpr filbert_backend table = {
      .abi = FILBERT_BACKEND_ABI,
      .name = "cpu",
      .probe = probe,
      .open = open,
      .close = close,
      .describe = describe,
      .error_message = error_message,
      .alloc = alloc,
      .free = free_memory,
      .upload = upload,
      .download = download,
      .read = nullptr,
      .scatter = nullptr,
      .sync = sync,
      .alloc_mapped = nullptr,
      .free_mapped = nullptr,
      .fetch = nullptr,
      .give = nullptr,
      .mark = nullptr,
      .wait = nullptr,
      .free_mark = nullptr,
      .load_weight = load_weight,
      .free_weight = free_weight,
      .token_ops = token_ops,
      .attention = attention,
      .disentangled_attention = disentangled,
      .neighbours = neighbours,
      .experts_memory = memory_of_experts,
      .experts = experts,
      .gather = gather,
      .pool = pool,
      .record_begin = nullptr,
      .record_end = nullptr,
      .replay = nullptr,
      .free_recording = nullptr,
  };
  return &table;
}

}  // namespace filbert::cpu
