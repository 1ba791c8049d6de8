// RAII and exceptions over the op table.
#pragma once

#include <filbert/backend.h>
#include <filbert/error.h>
#include <filbert/weights.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace filbert {

inline filbert_dtype backend_dtype(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return FILBERT_F16;
    case DType::bf16:
      return FILBERT_BF16;
    case DType::f64:
      return FILBERT_F64;
    case DType::i8:
      return FILBERT_I8;
    case DType::f32:
      return FILBERT_F32;
    case DType::other:
      break;
  }
  throw InputError("unknown dtype");
}

// The ops of a list; what they write is read by others than the next one unless `readers` says so.
inline filbert_token_op embed(const filbert_embed_args& args, filbert_readers readers = FILBERT_OTHERS) {
  return {FILBERT_EMBED, readers, {.embed = args}};
}
inline filbert_token_op linear(const filbert_linear_args& args, filbert_readers readers = FILBERT_OTHERS) {
  return {FILBERT_LINEAR, readers, {.linear = args}};
}
inline filbert_token_op norm(const filbert_norm_args& args, filbert_readers readers = FILBERT_OTHERS) {
  return {FILBERT_NORM, readers, {.norm = args}};
}
inline filbert_token_op head_norm(const filbert_head_norm_args& args) {
  return {FILBERT_HEAD_NORM, FILBERT_OTHERS, {.head_norm = args}};
}
inline filbert_token_op rope(const filbert_rope_args& args) { return {FILBERT_ROPE, FILBERT_OTHERS, {.rope = args}}; }

inline filbert_token_op multiply(const filbert_multiply_args& args, filbert_readers readers = FILBERT_OTHERS) {
  return {FILBERT_MULTIPLY, readers, {.multiply = args}};
}

// A backend opened on one device. The ops are those of filbert/backend.h; a failed one throws.
class Ops {
 public:
  // Throws DeviceError, InputError (threads out of range), std::bad_alloc.
  Ops(const filbert_backend* table, int device_index, int threads, filbert_dtype dtype) : table_(table) {
    check(table->open(device_index, threads, dtype, &context_));
    table->describe(context_, &device_);
  }
  ~Ops() { table_->close(context_); }
  Ops(const Ops&) = delete;
  Ops& operator=(const Ops&) = delete;

  const filbert_device_description& device() const { return device_; }

  void* alloc(std::size_t bytes) const {
    void* memory = nullptr;
    check(table_->alloc(context_, bytes, &memory));
    return memory;
  }
  void free(void* memory) const { table_->free(context_, memory); }
  // That host and device see: where activations are on the host, any is.
  void* alloc_mapped(std::size_t bytes) const {
    if (device_.activations_on_host) return alloc(bytes);
    void* memory = nullptr;
    check(table_->alloc_mapped(context_, bytes, &memory));
    return memory;
  }
  void free_mapped(void* memory) const {
    device_.activations_on_host ? free(memory) : table_->free_mapped(context_, memory);
  }
  void upload(void* device, const void* host, std::size_t bytes) const {
    check(table_->upload(context_, device, host, bytes));
  }
  void download(float* host, const float* device, std::size_t count) const {
    check(table_->download(context_, host, device, count));
  }
  void sync() const { check(table_->sync(context_)); }

  // Not where activations are on the host.
  void read_into(float* host, const void* activation, std::size_t count) const {
    check(table_->read(context_, host, activation, count));
  }
  void fetch(void* device, const void* mapped, std::size_t bytes) const {
    check(table_->fetch(context_, device, mapped, bytes));
  }
  void give(float* mapped, const void* activation, std::size_t count) const {
    check(table_->give(context_, mapped, activation, count));
  }
  void mark(filbert_mark*& mark) const { check(table_->mark(context_, &mark)); }
  void wait(filbert_mark* mark) const { check(table_->wait(context_, mark)); }
  void free_mark(filbert_mark* mark) const { table_->free_mark(context_, mark); }

  void scatter(const filbert_scatter_args& args) const { check(table_->scatter(context_, &args)); }

  // An activation of `count` numbers as float32 in host memory: itself, or a copy in `staging`.
  const float* read(const void* activation, std::size_t count, std::vector<float>& staging) const {
    if (device_.activations_on_host) return static_cast<const float*>(activation);
    staging.resize(count);
    read_into(staging.data(), activation, count);
    return staging.data();
  }

  filbert_weight* load_weight(filbert_weight_kind kind, const filbert_host_tensor* parts, std::size_t count,
                              const filbert_input_norm* input_norm = nullptr) const {
    filbert_weight* weight = nullptr;
    check(table_->load_weight(context_, kind, parts, count, input_norm, &weight));
    return weight;
  }
  void free_weight(filbert_weight* weight) const { table_->free_weight(context_, weight); }

  void token_ops(std::initializer_list<filbert_token_op> ops, std::size_t tokens) const {
    check(table_->token_ops(context_, ops.begin(), ops.size(), tokens));
  }
  void attention(const filbert_attention_args& args) const { check(table_->attention(context_, &args)); }
  void disentangled_attention(const filbert_disentangled_args& args) const {
    check(table_->disentangled_attention(context_, &args));
  }
  void neighbours(const filbert_neighbours_args& args) const { check(table_->neighbours(context_, &args)); }
  std::size_t experts_memory(const filbert_experts_args& args) const { return table_->experts_memory(context_, &args); }
  void experts(const filbert_experts_args& args) const { check(table_->experts(context_, &args)); }
  void gather(const filbert_gather_args& args) const { check(table_->gather(context_, &args)); }
  void pool(const filbert_pool_args& args) const { check(table_->pool(context_, &args)); }

  // What body() does with ops, to be done by replay().
  template <typename Body>
  filbert_recording* record(const Body& body) const {
    check(table_->record_begin(context_));
    filbert_recording* recording = nullptr;
    try {
      body();
    } catch (...) {
      table_->record_end(context_, &recording);
      if (recording) free_recording(recording);
      throw;
    }
    check(table_->record_end(context_, &recording));
    return recording;
  }
  void replay(filbert_recording* recording) const { check(table_->replay(context_, recording)); }
  void free_recording(filbert_recording* recording) const { table_->free_recording(context_, recording); }

 private:
  void check(filbert_status status) const {
    switch (status) {
      case FILBERT_OK:
        return;
      case FILBERT_OUT_OF_MEMORY:
        throw std::bad_alloc();
      case FILBERT_INVALID_ARGUMENT:
        throw InputError(table_->error_message());
      case FILBERT_UNAVAILABLE:
      case FILBERT_FAILED:
        break;
    }
    throw DeviceError(std::string(table_->name) + ": " + table_->error_message());
  }

  const filbert_backend* table_;
  filbert_context* context_ = nullptr;
  filbert_device_description device_ = {};
};

}  // namespace filbert
