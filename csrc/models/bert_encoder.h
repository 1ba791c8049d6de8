// BERT (Devlin et al., arXiv:1810.04805) and what computes as it does: post-norm layers, learned positions or a bias by
// distance. Families differ in sizes, in names and in the parts that they leave out.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/layers.h"

namespace filbert {

struct BertSize {
  std::size_t vocabulary, hidden, layers, heads, intermediate, positions, token_types;
  float eps;
  filbert_activation activation;
  std::size_t embedding = hidden;                         // the width of the tables
  std::optional<std::int64_t> padding_id = std::nullopt;  // where positions are counted from it on
  bool has_positions = true;                              // a table of them
  std::size_t tasks = 0;                                  // rows of a table of them, or none
  std::size_t turned = 0;                                 // of queries, keys and values, those with rotary positions
};

// The parts of a layer, each behind the layer's own name; queries, keys and values are of as many tensors as are named.
struct BertNames {
  std::vector<std::string> qkv;
  std::string attention_out, attention_norm, up, down, output_norm;
  bool is_gated = false;  // `up` is two layers in one, without a bias
  // Of the model: the norm of the embeddings, and from the width of the tables to that of the layers (or none).
  std::string embedding_norm = "embeddings.LayerNorm", projection = "";
};

// The layers of a file by their names, and in which order they run: each as often as it stands there.
struct BertLayers {
  std::vector<std::string> names;
  std::vector<std::size_t> order;
};

// `stem`0, `stem`1...
BertLayers numbered_layers(const std::string& stem, std::size_t count);

// What is added to the scores of all layers: [heads, 2 reach + 1] of the key's column less the query's.
struct BertBias {
  Weight values;
  std::size_t reach = 0;
};

// Of rotary positions, the frequencies of a head's pairs, [head_size / 2]: sums of two numbers.
struct BertFrequencies {
  Weight most, rest;
};

// Of settings that a configuration leaves out.
struct BertDefaults {
  std::int64_t vocabulary = 30522, hidden = 768, layers = 12, heads = 12, intermediate = 3072, positions = 512,
               token_types = 2;
  double eps = 1e-12;
  std::string_view activation = "gelu";
};

// The settings that most families name alike.
BertSize read_bert_size(const ConfigReader& config, const BertDefaults& defaults = {});
void refuse_decoders(const ConfigReader& config);
// Positions are counted from pad_token_id on. Throws where none is left behind it.
void count_positions(const ConfigReader& config, BertSize& sizes);
BertNames bert_names();
std::unique_ptr<Head> bert_head(Task task, const ConfigReader& config, Tensors& tensors);
std::unique_ptr<Head> bert_head(Task task, const ConfigReader& config, Tensors& tensors, const BertSize& sizes);

// The tables of words, types and positions, those that a family has.
struct BertTables {
  BertTables(const BertSize& sizes, Tensors& tensors);

  // The sums of what they say of the batch's tokens, to out [tokens, width].
  filbert_token_op operator()(const Batch& batch, void* out, filbert_readers readers = FILBERT_OTHERS,
                              float word_scale = 1) const {
    return embed(embed_of(batch, word, type, position, width, out, word_scale), readers);
  }

  std::size_t width;
  Weight word, type, position;
};

InputRules bert_inputs(const BertSize& sizes);

class BertEncoder : public Encoder {
 public:
  BertEncoder(const BertSize& sizes, const BertNames& names, const BertLayers& layers, Tensors& tensors,
              BertBias bias = {}, BertFrequencies frequencies = {});
  Dimensions dimensions() const override;
  void* forward(Run& run) const override;

 private:
  struct Layer {
    Linear qkv;
    PostNormTail tail;
  };

  BertSize config_;
  BertBias bias_;
  BertFrequencies frequencies_;
  BertTables tables_;
  Norm embedding_norm_;
  Linear projection_;
  std::vector<Layer> layers_;
  std::vector<std::size_t> order_;
};

}  // namespace filbert
