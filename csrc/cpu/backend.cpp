// The op table of the CPU: splits each op over the threads and hands the shares to the kernels of the instruction set.
#include "cpu/backend.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "cpu/dispatch.h"
#include "cpu/threads.h"
#include "cpu/weight.h"

struct filbert_context {
  const filbert::cpu::Kernels& kernels;
  filbert::cpu::ThreadPool pool;
};

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

const float* data_of(const filbert_weight* weight) { return weight ? weight->data : nullptr; }

NormTask norm_task(const filbert_weight* gamma, const filbert_weight* beta, float eps, std::size_t width) {
  return {data_of(gamma), data_of(beta), eps, width};
}

// Calls body(begin, end) over shares of [0, rows) of about `grain` rows.
template <typename Body>
void for_rows(filbert_context* context, std::size_t rows, std::size_t grain, const Body& body) {
  const std::size_t shares = (rows + grain - 1) / grain;
  context->pool.run(shares, 0,
                    [&](std::size_t share, float*) { body(share * grain, std::min(rows, (share + 1) * grain)); });
}

std::size_t row_grain(std::size_t width) { return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(width, 1)); }

filbert_status open(int device_index, int threads, filbert_context** out) {
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
  const Kernels* kernels = select_kernels(error);
  if (!kernels) return fail(FILBERT_UNAVAILABLE, error);
  return guarded([&] { *out = new filbert_context{*kernels, ThreadPool(threads)}; });
}

void close(filbert_context* context) { delete context; }

filbert_status describe(filbert_context* context, filbert_device_description* out) {
  std::string isas;
  for (const Kernels* kernels : available_kernels()) isas += (isas.empty() ? "" : ",") + std::string(kernels->isa);
  std::snprintf(out->name, sizeof(out->name), "%s", processor_name().c_str());
  std::snprintf(out->isa, sizeof(out->isa), "%s", context->kernels.isa);
  std::snprintf(out->isas, sizeof(out->isas), "%s", isas.c_str());
  out->threads = context->pool.threads();
  return FILBERT_OK;
}

const char* error_message() { return message; }

filbert_status alloc(filbert_context*, std::size_t bytes, void** out) {
  *out = ::operator new[](bytes, std::align_val_t{64}, std::nothrow);
  return *out ? FILBERT_OK : fail(FILBERT_OUT_OF_MEMORY, "out of memory: " + std::to_string(bytes) + " bytes wanted");
}

void free_memory(filbert_context*, void* pointer) { ::operator delete[](pointer, std::align_val_t{64}); }

filbert_status copy(filbert_context*, void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return FILBERT_OK;
}

filbert_status sync(filbert_context*) { return FILBERT_OK; }

filbert_status load_weight(filbert_context* context, filbert_weight_kind kind, const filbert_host_tensor* parts,
                           std::size_t count, filbert_weight** out) {
  return guarded([&] { *out = make_weight(kind, parts, count, context->kernels, context->pool).release(); });
}

void free_weight(filbert_context*, filbert_weight* weight) { delete weight; }

filbert_status embed_norm(filbert_context* context, const filbert_embed_norm_args* args) {
  return guarded([&] {
    const EmbedTask task = {args->ids,
                            args->types,
                            args->positions,
                            data_of(args->word),
                            data_of(args->type),
                            data_of(args->position),
                            norm_task(args->gamma, args->beta, args->eps, args->width),
                            args->out};
    for_rows(context, args->tokens, row_grain(args->width),
             [&](std::size_t begin, std::size_t end) { context->kernels.embed_norm(task, begin, end); });
  });
}

// Rows of one share: enough to use a panel of the weights well while it is in L2.
constexpr std::size_t kLinearRows = 96;

filbert_status linear(filbert_context* context, const filbert_linear_args* args) {
  return guarded([&] {
    const filbert_weight& weight = *args->weight;
    const LinearTask task = {
        args->x,  {weight.data, weight.rows, weight.cols}, data_of(args->bias), args->residual, args->activation,
        args->out};
    const std::size_t panel_width = context->kernels.panel_width;
    const std::size_t panels = (weight.rows + panel_width - 1) / panel_width;
    const std::size_t row_shares = (args->tokens + kLinearRows - 1) / kLinearRows;
    const std::size_t wanted = 4 * static_cast<std::size_t>(context->pool.threads());
    const std::size_t panel_shares = std::clamp<std::size_t>((wanted + row_shares - 1) / row_shares, 1, panels);
    context->pool.run(row_shares * panel_shares, 0, [&](std::size_t share, float*) {
      const std::size_t rows = share / panel_shares;
      const std::size_t columns = share % panel_shares;
      context->kernels.linear(task, rows * args->tokens / row_shares, (rows + 1) * args->tokens / row_shares,
                              columns * panels / panel_shares, (columns + 1) * panels / panel_shares);
    });
  });
}

// Queries of one share. Its keys and values are packed once, so more is cheaper; fewer balances better.
constexpr std::size_t kAttentionQueries = 128;

// One head of the queries among tokens [begin, end), which may touch several sequences.
void attend(const Kernels& kernels, const filbert_attention_args& args, std::size_t head, std::size_t begin,
            std::size_t end, float* scratch) {
  const std::size_t hidden = args.heads * args.head_size;
  const std::size_t column = head * args.head_size;
  const std::int32_t* last = args.cu_seqlens + args.sequences;
  const std::int32_t* bound = std::upper_bound(args.cu_seqlens, last, static_cast<std::int32_t>(begin));
  for (std::size_t s = static_cast<std::size_t>(bound - args.cu_seqlens) - 1; begin < end; ++s) {
    const auto first = static_cast<std::size_t>(args.cu_seqlens[s]);
    const auto stop = static_cast<std::size_t>(args.cu_seqlens[s + 1]);
    const auto key = args.key_begin ? static_cast<std::size_t>(args.key_begin[s]) : first;
    const std::size_t length = stop - first;
    const std::size_t queries = std::min(end, stop) - begin;
    AttentionTask task = {};
    task.stride = 3 * hidden;
    task.q = args.qkv + begin * task.stride + column;
    task.k = args.qkv + key * task.stride + hidden + column;
    task.v = task.k + hidden;
    task.queries = queries;
    task.keys = stop - key;
    task.head_size = args.head_size;
    task.scale = args.scale;
    task.out = args.out + begin * hidden + column;
    task.out_stride = hidden;
    task.scratch = scratch;
    if (args.probabilities) {
      const std::size_t row = head * length + begin - first;
      task.probabilities = args.probabilities + args.probability_offsets[s] + row * length + (key - first);
      task.probability_stride = length;
    }
    kernels.attention(task);
    begin += queries;
  }
}

filbert_status attention(filbert_context* context, const filbert_attention_args* args) {
  return guarded([&] {
    const auto tokens = static_cast<std::size_t>(args->cu_seqlens[args->sequences]);
    const std::size_t shares = (tokens + kAttentionQueries - 1) / kAttentionQueries;
    const std::size_t scratch = context->kernels.attention_scratch(args->max_length, args->head_size);
    context->pool.run(shares * args->heads, scratch, [&](std::size_t task, float* own) {
      const std::size_t begin = task / args->heads * kAttentionQueries;
      attend(context->kernels, *args, task % args->heads, begin, std::min(tokens, begin + kAttentionQueries), own);
    });
  });
}

filbert_status norm(filbert_context* context, const filbert_norm_args* args) {
  return guarded([&] {
    const NormTask task = norm_task(args->gamma, args->beta, args->eps, args->width);
    for_rows(context, args->tokens, row_grain(args->width),
             [&](std::size_t begin, std::size_t end) { context->kernels.norm(task, args->x, begin, end, args->out); });
  });
}

filbert_status pool(filbert_context* context, const filbert_pool_args* args) {
  return guarded([&] {
    for_rows(context, args->sequences, 1, [&](std::size_t s, std::size_t) {
      const auto first = static_cast<std::size_t>(args->cu_seqlens[s]);
      const auto tokens = static_cast<std::size_t>(args->cu_seqlens[s + 1]) - first;
      context->kernels.pool(args->x + first * args->width, tokens, args->width, args->pooling, args->normalize != 0,
                            args->out + s * args->width);
    });
  });
}

}  // namespace

const filbert_backend* backend() {
  static constexpr filbert_backend table = {
      .abi = FILBERT_BACKEND_ABI,
      .name = "cpu",
      .open = open,
      .close = close,
      .describe = describe,
      .error_message = error_message,
      .alloc = alloc,
      .free = free_memory,
      .upload = copy,
      .download = copy,
      .sync = sync,
      .load_weight = load_weight,
      .free_weight = free_weight,
      .embed_norm = embed_norm,
      .linear = linear,
      .attention = attention,
      .norm = norm,
      .pool = pool,
  };
  return &table;
}

}  // namespace filbert::cpu
