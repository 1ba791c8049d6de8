// RemBERT (Chung et al., arXiv:2010.12821): BERT whose embeddings are narrow where they are read, and wide in a masked
// language model's last layer, which is never the table of words.
#include "models/bert_encoder.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

BertSize read(const ConfigReader& config) {
  BertSize found =
      read_bert_size(config, {.vocabulary = 250300, .hidden = 1152, .layers = 32, .heads = 18, .intermediate = 4608});
  found.embedding = size(config.positive_int("input_embedding_size", 256, kHiddenSize));
  return found;
}

std::unique_ptr<Encoder> rembert(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  BertNames names = bert_names();
  names.projection = "encoder.embedding_hidden_mapping_in";
  return std::make_unique<BertEncoder>(sizes, names, numbered_layers("encoder.layer.", sizes.layers), tensors);
}

std::unique_ptr<Head> rembert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  if (task != Task::masked_lm) return bert_head(task, config, tensors, sizes);
  const std::size_t width = size(config.positive_int("output_embedding_size", 1664, kHiddenSize));
  return words(config, tensors,
               inner_layer(tensors, "cls.predictions.dense", sizes.hidden, width, sizes.activation,
                           "cls.predictions.LayerNorm", sizes.eps),
               {"", "cls.predictions.decoder", ""}, sizes.vocabulary);
}

}  // namespace

extern const Family kRembert = {"rembert", {"rembert."}, rembert, rembert_head};

}  // namespace filbert
