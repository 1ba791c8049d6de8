// The heads of DeBERTa.
#include <string>

#include "models/deberta_encoder.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

// Of a file from before transformers had one, or as it has it.
std::unique_ptr<Head> words_head(const ConfigReader& config, Tensors& tensors, const DebertaSizes& sizes) {
  const bool has_own_names = tensors.has("lm_predictions.lm_head.dense.weight");
  const bool is_legacy =
      !has_own_names && (tensors.has("cls.predictions.transform.dense.weight") || config.boolean("legacy", true));
  const std::string name = is_legacy ? "cls.predictions." : "lm_predictions.lm_head.";
  const std::string transform = is_legacy ? name + "transform." : name;
  const std::string decoder = is_legacy ? name + "decoder" : "";
  const std::size_t width = is_legacy ? sizes.embedding : sizes.hidden;
  if (width != sizes.embedding)
    config.fail("embedding_size", "hidden_size: the masked language model multiplies by the table of words");
  return words(config, tensors,
               inner_layer(tensors, transform + "dense", sizes.hidden, width, sizes.activation, transform + "LayerNorm",
                           sizes.eps),
               {"embeddings.word_embeddings.weight", decoder, name + "bias"}, sizes.vocabulary);
}

}  // namespace

std::unique_ptr<Head> deberta_head(Task task, const ConfigReader& config, Tensors& tensors, const DebertaSizes& sizes) {
  const std::size_t hidden = sizes.hidden;
  if (task == Task::sequence_classification) {
    if (config.positive_int("pooler_hidden_size", static_cast<std::int64_t>(hidden), kHiddenSize) !=
        static_cast<std::int64_t>(hidden))
      config.fail("pooler_hidden_size", "hidden_size (" + std::to_string(hidden) + ")");
    const filbert_activation activation = read_activation(config, "pooler_hidden_act", "gelu");
    return labels(config, tensors, Over::first, inner_layer(tensors, "pooler.dense", hidden, hidden, activation),
                  "classifier");
  }
  if (task == Task::masked_lm) return words_head(config, tensors, sizes);
  return token_head(task, config, tensors, hidden);
}

}  // namespace filbert
