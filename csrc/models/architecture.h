// What a model family provides, and what it is given.
#pragma once

#include <filbert/weights.h>

#include <memory>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "core/config.h"
#include "core/ops.h"
#include "core/packed_tokens.h"
#include "core/weight_loader.h"

namespace filbert {

// A packed batch in device memory.
struct Batch {
  std::size_t tokens = 0;
  std::size_t sequences = 0;
  std::size_t max_length = 0;
  const std::int32_t* ids = nullptr;         // [tokens]
  const std::int32_t* types = nullptr;       // [tokens]
  const std::int32_t* positions = nullptr;   // [tokens]
  const std::int32_t* cu_seqlens = nullptr;  // [sequences + 1]
  const std::int32_t* key_begin = nullptr;   // [sequences], or null (filbert_attention_args)
};

// Takes what a forward computes on its way, where the caller asked for it.
class Trace {
 public:
  virtual ~Trace() = default;
  // The input of layer 0, then the output of each layer: [tokens, hidden] in device memory.
  virtual void hidden_state(const void* x) = 0;
  // Where the next layer's attention probabilities go; null members if they are not wanted.
  struct Probabilities {
    float* data = nullptr;
    const std::int64_t* offsets = nullptr;
  };
  virtual Probabilities next_attention() = 0;
  virtual void attention_done() = 0;
};

struct Dimensions {
  InputLimits inputs;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
};

class Architecture {
 public:
  virtual ~Architecture() = default;

  virtual Dimensions dimensions() const = 0;

  // Returns the last hidden state, in the arena: [tokens, hidden], or with first_only the same rows of the first token
  // of each sequence, [sequences, hidden].
  virtual void* forward(const Ops& ops, const Batch& batch, Arena& arena, Trace& trace, bool first_only) const = 0;

  // From those of the first tokens to the pooler's output, [sequences, hidden], in the arena. Only if created with one.
  virtual void* pooler(const Ops& ops, std::size_t sequences, const void* first, Arena& arena) const = 0;
};

// One line of the registry.
struct ArchitectureEntry {
  std::string_view model_type;
  std::string_view base_prefix;  // of tensor names in checkpoints with a head
  // The tensors of the model: the one table that loading, checking, initialising and saving read. Throws ConfigError
  // for a configuration that cannot be honoured.
  std::vector<TensorSpec> (*tensors)(const ConfigReader& config, bool pooler);
  std::unique_ptr<Architecture> (*create)(const ConfigReader& config, const WeightLoader& weights, bool pooler);
};

}  // namespace filbert
