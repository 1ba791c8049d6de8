// What stands on encoders.
#pragma once

#include <string>
#include <vector>

#include "models/layers.h"

namespace filbert {

// What a head is asked about: a token of each sequence, all of them (by the mean of what the encoder gives for them, or
// of what the head makes of that), or each.
enum class Over { first, last, mean, mean_of_inner, each };

// What comes before the last layer of a head: a layer, its activation and a norm or another layer with that activation,
// or nothing.
struct HeadInner {
  std::size_t width;  // of what comes out
  Linear dense = {};
  filbert_activation activation = FILBERT_IDENTITY;
  Norm norm = {};
  Linear second = {};
  std::size_t between = 0;  // the width of what that one reads
};

// A layer [out, in] and its activation.
HeadInner inner_layer(Tensors& tensors, const std::string& name, std::size_t in, std::size_t out,
                      filbert_activation activation, Tensors::Owner owner = Tensors::Owner::head, bool has_bias = true);

// With a norm after it.
HeadInner inner_layer(Tensors& tensors, const std::string& name, std::size_t in, std::size_t out,
                      filbert_activation activation, const std::string& norm, float eps);

// As in transformers: num_labels, else the length of id2label, else 2.
std::size_t count_labels(const ConfigReader& config);

// pad_token_id of a classifier that reads the last token, which padding is not; below 0 it is no token's.
std::optional<std::int64_t> read_padding_id(const ConfigReader& config);

// What to say where a checkpoint lacks the head for a task.
const char* missing_head(Task task);

// BERT's pooler (https://arxiv.org/abs/1810.04805): tanh(W x + b) of the first token.
std::unique_ptr<Head> pooler(Tensors& tensors, std::size_t hidden, const std::string& name = "pooler.dense");

// A logit for each label, from the layer of that name. unread: of Over::last, an id that ends no text.
std::unique_ptr<Head> labels(const ConfigReader& config, Tensors& tensors, Over over, HeadInner inner,
                             const std::string& name, bool has_bias = true,
                             std::optional<std::int64_t> unread = std::nullopt);

// Of each token, the logits that an answer begins and that it ends there.
std::unique_ptr<Head> spans(const ConfigReader& config, Tensors& tensors, HeadInner inner,
                            const std::string& name = "qa_outputs");

// The tensors of a layer over the vocabulary. Its weight is the table of words unless the file has one of its own.
struct VocabularyNames {
  std::string table;    // of the words; empty: the layer never is the table
  std::string decoder;  // the layer; empty: it always is the table
  std::string bias;     // where its bias is, if not beside its weight; or empty
  bool has_bias = true;
  bool is_tied = true;  // if the configuration does not say
};

// Logits of each token over the vocabulary.
std::unique_ptr<Head> words(const ConfigReader& config, Tensors& tensors, HeadInner inner, const VocabularyNames& names,
                            std::size_t vocabulary);

// Logits of the tokens that the setting next_token_ids lists to follow a sequence.
std::unique_ptr<Head> next_tokens(const ConfigReader& config, Tensors& tensors, std::size_t hidden,
                                  const VocabularyNames& names, std::size_t vocabulary);

// Labels or spans of tokens straight from the last hidden state, as most families have them; null for other tasks.
std::unique_ptr<Head> token_head(Task task, const ConfigReader& config, Tensors& tensors, std::size_t hidden);

// RoBERTa's heads: BERT's pooler, a classifier with a layer of its own, and those of tokens.
struct RobertaHeads {
  std::size_t hidden, vocabulary;
  float eps;
};
std::unique_ptr<Head> roberta_head(Task task, const ConfigReader& config, Tensors& tensors, const RobertaHeads& sizes);

// Of a family that has none.
std::unique_ptr<Head> no_head(Task task, const ConfigReader& config, Tensors& tensors);

}  // namespace filbert
