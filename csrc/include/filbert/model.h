// A loaded encoder. Thread-safe: many threads may call one model at once.
#pragma once

#include <filbert/batch.h>
#include <filbert/export.h>
#include <filbert/weights.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace filbert {

struct LoadOptions {
  std::string device = "cpu";
  DType dtype = DType::f32;
  int threads = 0;  // 0: FILBERT_NUM_THREADS, else the cores this process may use
  Task task = Task::model;
  bool require_head = false;  // of Task::model: refuse a checkpoint without the head that the family's base model has
};

struct ForwardOptions {
  bool head = true;  // ignored by a model without one
  // Of a head with a row a token: the tokens whose rows are wanted, by where they stand in the batch (row * columns +
  // column of a padded one); then its rows are theirs, in this order.
  std::optional<std::vector<std::int64_t>> head_tokens;
  bool hidden_states = false;
  bool attentions = false;
  // Called between passes; returning true abandons the call with Interrupted.
  std::function<bool()> interrupted;
};

enum class Pooling { cls, mean, max, last };

struct Output {
  std::vector<float> last_hidden_state;  // [tokens, hidden]
  std::vector<float> head;               // [head rows, head_width]: logits, or what the base model adds; or empty
  std::vector<std::vector<float>> hidden_states;  // layers times [tokens, inner_size], and the last [tokens, hidden]
  std::vector<std::vector<float>> attentions;     // layers times, per sequence in turn, [heads, length, length]
};

// Where a forward writes; every buffer is the caller's, row-major float32. Null or empty: not wanted.
struct OutputBuffers {
  // The buffers are memory of the model's device, which holds zeros and no attentions. They are written when the call
  // returns.
  bool on_device = false;
  float* last_hidden_state = nullptr;
  float* head = nullptr;  // its rows are of sequences, of tokens (ModelInfo::head_per_token), or of head_tokens
  std::vector<float*> hidden_states;  // layers + 1
  std::vector<float*> attentions;     // layers
};

struct ModelInfo {
  std::string model_type;
  std::string device;  // "cpu", "cuda:0"
  std::string isa;     // "avx512", "sm_90", ...
  int threads = 0;
  std::size_t vocabulary = 0;  // ids are below
  std::size_t hidden_size = 0;
  std::size_t inner_size = 0;  // of the hidden states before the last: hidden_size, but in EmbeddingGemma 2
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t max_positions = 0;  // longest sequence, as the configuration has it
  std::size_t max_tokens = 0;     // longest that is computed: more where positions are not looked up in a table
  std::size_t parameters = 0;
  std::size_t head_width = 0;   // 0: no head
  bool head_per_token = false;  // it gives a row a token, not one a sequence
};

// ForwardOptions::interrupted asked to stop; the model stays usable.
class FILBERT_API Interrupted : public Error {
  using Error::Error;
};

class FILBERT_API Model {
 public:
  // Opens a folder as the hub serves it: config.json and model.safetensors (or its shards).
  // Throws ConfigError, WeightsError, DeviceError, FileError, InputError (threads, FILBERT_NUM_THREADS),
  // std::bad_alloc.
  static Model load(const std::string& folder, const LoadOptions& options = {});

  // The same from a configuration text and tensors. Keeps a reference to the weights' memory.
  static Model create(const std::string& config_json, Weights weights, const LoadOptions& options = {});

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  // Runs the encoder on a ragged batch. The result for a sequence is bit-identical whatever else is in the batch.
  // Throws InputError (ids, types or positions out of range: names sequence and position; another number of buffers
  // than OutputBuffers says), std::bad_alloc.
  Output forward(const TokenBatch& batch, const ForwardOptions& options = {}) const;
  void forward(const TokenBatch& batch, const OutputBuffers& out, const ForwardOptions& options = {}) const;

  // Runs it on a padded batch. Buffers are padded too: [rows, columns, hidden], attentions [rows, heads, columns,
  // columns]. Only unmasked tokens are computed; what is at masked positions is zero.
  void forward(const PaddedBatch& batch, const OutputBuffers& out, const ForwardOptions& options = {}) const;

  // One vector a sequence, pooled from the last hidden state: out [sequences, hidden]. L2-normalised if asked
  // (v / max(|v|, 1e-12)). An empty sequence gives zeros.
  void embed(const TokenBatch& batch, Pooling pooling, bool normalize, float* out,
             const ForwardOptions& options = {}) const;

  // What a head with a row a token gives for each sequence, the largest number of each column: out [sequences,
  // head_width]. At no time are there rows of all tokens. An empty sequence gives zeros.
  // Throws InputError if the model has no such head.
  void max_head(const TokenBatch& batch, float* out, const ForwardOptions& options = {}) const;

  const ModelInfo& info() const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace filbert
