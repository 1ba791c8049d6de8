// What a model family fulfils, and what it is given.
#pragma once

#include <filbert/task.h>
#include <filbert/weights.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/arena.h"
#include "engine/ops.h"
#include "engine/packed_tokens.h"
#include "engine/tensors.h"
#include "files/config.h"

namespace filbert {

// A packed batch in device memory.
struct Batch : filbert_batch {
  std::size_t tokens = 0;
  const std::int32_t* ids = nullptr;        // [tokens]
  const std::int32_t* types = nullptr;      // [tokens]
  const std::int32_t* positions = nullptr;  // [tokens]
  const std::int32_t* first = nullptr;      // [sequences] first token of each; 0 of an empty one
  const std::int32_t* last = nullptr;       // [sequences] last token of each; 0 of an empty one
  const std::int32_t* last_word = nullptr;  // [sequences] the same, but for padding (InputRules::unread)
  const float* word_scales = nullptr;       // [tokens] or null: ones (InputRules::dropped)
};

// Takes what a forward computes on its way, where the caller asked for it.
class Trace {
 public:
  virtual ~Trace() = default;
  // The input of layer 0, then the output of each layer: [tokens, hidden] in device memory.
  virtual void hidden_state(const void* x) = 0;
  // Before and after each layer's attention: where its probabilities go, if they are wanted.
  virtual void next_attention(filbert_attention_args& args) = 0;
  virtual void attention_done() = 0;
};

// Which tokens of the last hidden state are wanted: all, or the first or last of each sequence.
enum class Rows { all, first, last };

// One forward.
struct Run {
  const Ops& ops;
  const Batch& batch;
  Arena& arena;
  Trace& trace;
  Rows rows;
};

struct Dimensions {
  InputRules inputs;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t inner = hidden;  // the width of the hidden states before the last

  std::size_t width_of_state(std::size_t index) const { return index < layers ? inner : hidden; }
};

class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual Dimensions dimensions() const = 0;
  // The last hidden state of the rows that are wanted, in the arena: [tokens, hidden], or [sequences, hidden] of one
  // row a sequence. A row has the same bits either way.
  virtual void* forward(Run& run) const = 0;
};

// What stands on an encoder: from rows of its last hidden state to rows of its own, [sequences, width], or of tokens.
// Its last layer may be cut into parts of its columns, as a vocabulary is too wide for one.
class Head {
 public:
  virtual ~Head() = default;
  virtual Rows reads() const = 0;
  virtual bool is_per_token() const = 0;  // it gives a row for each that it reads
  // Of a head that reads the last token: ids that are none, at the end.
  virtual std::optional<std::int64_t> unread() const = 0;
  virtual const std::vector<std::size_t>& columns() const = 0;  // where its parts begin, and the width
  // What the last layer multiplies, in the arena: of x [rows, hidden], the rows that it reads.
  virtual const void* inner(Run& run, const void* x, std::size_t rows) const = 0;
  // inner [rows, ...] to out [rows, columns of the part].
  virtual void last(const Run& run, const void* inner, std::size_t rows, std::size_t part, void* out) const = 0;

  std::size_t width() const { return columns().back(); }
  std::size_t parts() const { return columns().size() - 1; }
  std::size_t widest_part() const {
    std::size_t widest = 0;
    for (std::size_t i = 0; i < parts(); ++i) widest = std::max(widest, columns()[i + 1] - columns()[i]);
    return widest;
  }
};

// One line of the registry. Constructors throw ConfigError for a configuration that cannot be honoured.
struct Family {
  std::string_view model_type;
  Prefixes prefixes;  // the first one is saved, or what saved_prefix chooses
  std::unique_ptr<Encoder> (*encoder)(const ConfigReader&, Tensors&);
  std::unique_ptr<Head> (*head)(Task, const ConfigReader&, Tensors&);  // null: it has none for the task
  std::string_view position_embedding_type = "";  // that marks it, where others have the same model_type
  std::string_view answers_prefix = "";           // the prefix that is saved of question answering, if it is another
  Skipped skipped = {};                           // prefixes of tensors that are left out in silence (T5's decoder)
  std::string_view (*saved_prefix)(const ConfigReader&) = nullptr;  // where it depends on the settings
};

}  // namespace filbert
