// ALBERT (Lan et al., arXiv:1909.11942): BERT whose layers share their weights in groups, over narrower embeddings.
#include <string>

#include "models/bert_encoder.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

BertSize read(const ConfigReader& config) {
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  BertSize found = read_bert_size(
      config, {.vocabulary = 30000, .hidden = 4096, .heads = 64, .intermediate = 16384, .activation = "gelu_new"});
  found.embedding = size(config.positive_int("embedding_size", 128, kHiddenSize));
  return found;
}

BertNames names() {
  return {.qkv = {"attention.query", "attention.key", "attention.value"},
          .attention_out = "attention.dense",
          .attention_norm = "attention.LayerNorm",
          .up = "ffn",
          .down = "ffn_output",
          .output_norm = "full_layer_layer_norm",
          .projection = "encoder.embedding_hidden_mapping_in"};
}

// Layer i runs all of what is in group i / (layers / groups).
BertLayers read_layers(const ConfigReader& config, std::size_t layers) {
  const std::size_t groups = size(config.positive_int("num_hidden_groups", 1, kLayers));
  const std::size_t inner = size(config.positive_int("inner_group_num", 1, kLayers));
  if (groups > layers) config.fail("num_hidden_groups", "at most num_hidden_layers (" + std::to_string(layers) + ")");
  if (inner > size(kLayers) / layers) config.fail("inner_group_num", "fewer layers in all");
  BertLayers result;
  for (std::size_t group = 0; group < groups; ++group)
    for (std::size_t i = 0; i < inner; ++i)
      result.names.push_back("encoder.albert_layer_groups." + std::to_string(group) + ".albert_layers." +
                             std::to_string(i) + ".");
  const double layers_a_group = static_cast<double>(layers) / static_cast<double>(groups);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const auto group = static_cast<std::size_t>(static_cast<double>(layer) / layers_a_group);
    for (std::size_t i = 0; i < inner; ++i) result.order.push_back(group * inner + i);
  }
  return result;
}

std::unique_ptr<Encoder> albert(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  return std::make_unique<BertEncoder>(sizes, names(), read_layers(config, sizes.layers), tensors);
}

std::unique_ptr<Head> albert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::model) return pooler(tensors, hidden, "pooler");
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "pooler", hidden, hidden, FILBERT_TANH, Tensors::Owner::base), "classifier");
  if (task == Task::masked_lm)
    return words(config, tensors,
                 inner_layer(tensors, "predictions.dense", hidden, sizes.embedding, sizes.activation,
                             "predictions.LayerNorm", sizes.eps),
                 {"embeddings.word_embeddings.weight", "predictions.decoder", "predictions.bias"}, sizes.vocabulary);
  return token_head(task, config, tensors, hidden);
}

}  // namespace

extern const Family kAlbert = {"albert", {"albert."}, albert, albert_head};

}  // namespace filbert
