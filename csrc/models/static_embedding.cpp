// Models without a transformer: a vector for each token, of which a text's is the mean. The files of model2vec
// (https://github.com/MinishLab/model2vec) have "embeddings", and may share rows among tokens and weight them; those of
// sentence-transformers (StaticEmbedding) have "embedding.weight", and no config.json.
#include "models/static_embedding.h"

#include <string>

#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

constexpr const char* kTable = "embeddings";
constexpr const char* kTorchTable = "embedding.weight";
constexpr const char* kMapping = "mapping";
constexpr const char* kWeights = "weights";

std::size_t checked(const std::string& name, std::uint64_t extent, std::int64_t max) {
  if (extent == 0 || extent > static_cast<std::uint64_t>(max))
    throw WeightsError(name + ": found " + std::to_string(extent) + " in its shape, expected 1 to " +
                       std::to_string(max));
  return extent;
}

class StaticEmbedding : public Encoder {
 public:
  StaticEmbedding(const ConfigReader& config, Tensors& tensors) {
    const std::string name = tensors.has(kTorchTable) ? kTorchTable : kTable;
    std::size_t stored = size(config.positive_int("vocab_size", 32000, kVocabulary));
    hidden_ = size(config.positive_int("hidden_dim", 256, kHiddenSize));
    if (const auto* shape = tensors.shape(name); shape && shape->size() == 2) {
      stored = checked(name, (*shape)[0], kVocabulary);
      if (!config.has("hidden_dim")) hidden_ = checked(name, (*shape)[1], kHiddenSize);
    }
    vocabulary_ = stored;
    const auto* const rows = tensors.shape(kMapping);
    if (rows && rows->size() == 1) vocabulary_ = checked(kMapping, (*rows)[0], kVocabulary);
    const std::string mapping = rows ? kMapping : "", weights = tensors.has(kWeights) ? kWeights : "";
    word_ = tensors.folded_table({name, stored}, hidden_, vocabulary_, mapping, weights);
  }

  // No position is looked up, so there is no longest text.
  Dimensions dimensions() const override { return {rotary_inputs(vocabulary_, size(kPositions)), hidden_, 0, 0}; }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    void* x = arena.activations(batch.tokens, hidden_);
    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden_, x))}, batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    return rows == Rows::all ? x : gather_wanted(run, x, hidden_);
  }

 private:
  std::size_t vocabulary_, hidden_;
  Weight word_;
};

std::unique_ptr<Encoder> static_embedding(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<StaticEmbedding>(config, tensors);
}

}  // namespace

bool is_static_embedding(const Weights& weights) {
  bool has_table = false;
  for (const auto& [name, view] : weights.tensors()) {
    has_table = has_table || name == kTorchTable || name == kTable;
    if (name != kTorchTable && name != kTable && name != kMapping && name != kWeights) return false;
  }
  return has_table;
}

extern const Family kModel2Vec = {"model2vec", {}, static_embedding, no_head};

}  // namespace filbert
