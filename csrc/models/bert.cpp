// BERT (Devlin et al., arXiv:1810.04805), and what computes the same under other names: RoBERTa (arXiv:1907.11692),
// XLM-R (arXiv:1911.02116), CamemBERT (arXiv:1911.03894) and data2vec's texts (arXiv:2202.03555), which count positions
// from the padding id on, DistilBERT (arXiv:1910.01108), which has no token types, ELECTRA (arXiv:2003.10555), whose
// embeddings may be narrower, and ERNIE (arXiv:1907.12412), which may have embeddings of tasks, of which texts are of
// the first.
#include <string>

#include "models/activations.h"
#include "models/bert_encoder.h"
#include "models/heads.h"
#include "models/jina_code.h"

namespace filbert {
namespace {

using namespace config_limits;

BertSize read_bert(const ConfigReader& config, const BertDefaults& defaults = {}) {
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  config.one_of("feed_forward_type", "original", {"original"});  // of Jina's variants of BERT
  return read_bert_size(config, defaults);
}

BertSize read_ernie(const ConfigReader& config) {
  BertSize found = read_bert(config);
  if (!config.boolean("use_task_id", false)) return found;
  found.tasks = size(config.positive_int("task_type_vocab_size", 3, kTokenTypes));
  if (found.token_types == 0) config.fail("type_vocab_size", "at least 1 where use_task_id is true");
  return found;
}

BertSize read_roberta(const ConfigReader& config, std::int64_t vocabulary) {
  BertSize found = read_bert(config, {.vocabulary = vocabulary});
  count_positions(config, found);
  return found;
}

BertSize read_distilbert(const ConfigReader& config) {
  // transformers takes the usual names for these, too.
  const char* const dim = config.one_name("dim", "hidden_size");
  const char* const n_heads = config.one_name("n_heads", "num_attention_heads");
  const std::int64_t hidden = config.positive_int(dim, 768, kHiddenSize);
  const std::int64_t heads = config.positive_int(n_heads, 12, kHeads);
  config.require_divisible(dim, hidden, n_heads, heads);
  refuse_decoders(config);
  return {
      .vocabulary = size(config.positive_int("vocab_size", 30522, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int(config.one_name("n_layers", "num_hidden_layers"), 6, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("hidden_dim", 3072, kIntermediateSize)),
      .positions = size(config.positive_int("max_position_embeddings", 512, kPositions)),
      .token_types = 0,
      .eps = 1e-12f,  // transformers has no setting for it
      .activation = read_activation(config, "activation", "gelu"),
  };
}

BertSize read_electra(const ConfigReader& config) {
  BertSize found = read_bert(config, {.hidden = 256, .heads = 4, .intermediate = 1024});
  found.embedding = size(config.positive_int("embedding_size", 128, kHiddenSize));
  return found;
}

BertNames distilbert_names() {
  return {.qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
          .attention_out = "attention.out_lin",
          .attention_norm = "sa_layer_norm",
          .up = "ffn.lin1",
          .down = "ffn.lin2",
          .output_norm = "output_layer_norm"};
}

// Layers under the names that most families give them.
std::unique_ptr<Encoder> encoder(const BertSize& sizes, Tensors& tensors, const BertNames& names = bert_names(),
                                 const std::string& layers = "encoder.layer.") {
  return std::make_unique<BertEncoder>(sizes, names, numbered_layers(layers, sizes.layers), tensors);
}

std::unique_ptr<Encoder> bert(const ConfigReader& config, Tensors& tensors) {
  return encoder(read_bert(config), tensors);
}

// Those of jina-reranker-v2.
BertNames jina_names() {
  return {.qkv = {"mixer.Wqkv"},
          .attention_out = "mixer.out_proj",
          .attention_norm = "norm1",
          .up = "mlp.fc1",
          .down = "mlp.fc2",
          .output_norm = "norm2",
          .embedding_norm = "emb_ln"};
}

std::unique_ptr<Encoder> ernie(const ConfigReader& config, Tensors& tensors) {
  return encoder(read_ernie(config), tensors);
}

template <int Vocabulary>
std::unique_ptr<Encoder> roberta(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_roberta(config, Vocabulary);
  const bool is_jinas =
      tensors.has("emb_ln.weight") || (names_jina_code(config) && !tensors.has("embeddings.LayerNorm.weight"));
  return is_jinas ? encoder(sizes, tensors, jina_names(), "encoder.layers.") : encoder(sizes, tensors);
}

template <int Vocabulary>
std::unique_ptr<Head> roberta_heads(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_roberta(config, Vocabulary);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

std::unique_ptr<Encoder> distilbert(const ConfigReader& config, Tensors& tensors) {
  return encoder(read_distilbert(config), tensors, distilbert_names(), "transformer.layer.");
}

std::unique_ptr<Head> distilbert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_distilbert(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first, inner_layer(tensors, "pre_classifier", hidden, hidden, FILBERT_RELU),
                  "classifier");
  if (task == Task::masked_lm)
    return words(
        config, tensors,
        inner_layer(tensors, "vocab_transform", hidden, hidden, sizes.activation, "vocab_layer_norm", sizes.eps),
        {"embeddings.word_embeddings.weight", "vocab_projector", ""}, sizes.vocabulary);
  return token_head(task, config, tensors, hidden);
}

std::unique_ptr<Encoder> electra(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_electra(config);
  BertNames names = bert_names();
  if (sizes.embedding != sizes.hidden) names.projection = "embeddings_project";
  return encoder(sizes, tensors, names);
}

// GELU, whatever the configuration says.
std::unique_ptr<Head> electra_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_electra(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "classifier.dense", hidden, hidden, FILBERT_GELU_ERF), "classifier.out_proj");
  if (task == Task::masked_lm)
    return words(config, tensors,
                 inner_layer(tensors, "generator_predictions.dense", hidden, sizes.embedding, FILBERT_GELU_ERF,
                             "generator_predictions.LayerNorm", sizes.eps),
                 {"embeddings.word_embeddings.weight", "generator_lm_head", ""}, sizes.vocabulary);
  return token_head(task, config, tensors, hidden);
}

}  // namespace

extern const Family kBert = {"bert", {"bert."}, bert, bert_head};
extern const Family kRoberta = {"roberta", {"roberta."}, roberta<50265>, roberta_heads<50265>};
extern const Family kXlmRoberta = {"xlm-roberta", {"roberta."}, roberta<30522>, roberta_heads<30522>};
extern const Family kCamembert = {"camembert", {"roberta."}, roberta<30522>, roberta_heads<30522>};
extern const Family kData2VecText = {"data2vec-text", {"data2vec_text."}, roberta<30522>, roberta_heads<30522>};
extern const Family kDistilbert = {"distilbert", {"distilbert."}, distilbert, distilbert_head};
extern const Family kErnie = {"ernie", {"ernie."}, ernie, bert_head};
extern const Family kElectra = {"electra", {"electra."}, electra, electra_head};

}  // namespace filbert
