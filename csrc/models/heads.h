// What stands on encoders.
#pragma once

#include <string>
#include <vector>

#include "engine/encoder.h"

namespace filbert {

// One layer of a head.
struct HeadLayer {
  std::string name;
  filbert_activation activation;
  Tensors::Owner owner = Tensors::Owner::head;
};

// As in transformers: the length of id2label, else num_labels, else 2.
std::size_t count_labels(const ConfigReader& config);

// What to say where a checkpoint lacks the head for a task.
const char* missing_head(Task task);

// BERT's pooler (https://arxiv.org/abs/1810.04805): tanh(W x + b) of the first token.
std::unique_ptr<Head> pooler(Tensors& tensors, std::size_t hidden, const std::string& name = "pooler.dense");

// Logits, [labels], from the first token: `dense` keeps the width, `out` gives the logits.
std::unique_ptr<Head> sequence_classifier(const ConfigReader& config, Tensors& tensors, std::size_t hidden,
                                          const HeadLayer& dense, const std::string& out);

// RoBERTa's heads: BERT's pooler, and a classifier with a layer of its own.
std::unique_ptr<Head> roberta_head(Task task, const ConfigReader& config, Tensors& tensors);

// Of a family that has none.
std::unique_ptr<Head> no_head(Task task, const ConfigReader& config, Tensors& tensors);

}  // namespace filbert
