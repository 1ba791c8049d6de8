// Layers of BERT with norms before each part, not of sums, and a norm after the last (Shoeybi et al.,
// arXiv:1909.08053). Families differ in the names of the norms.
#pragma once

#include <string>
#include <vector>

#include "models/bert_encoder.h"

namespace filbert {

// Those of a layer, behind its own name, and the last one's.
struct PreNormNames {
  std::string attention, mlp, last;
};

class PreNormLayers {
 public:
  // frequencies: of rotary positions, or null.
  PreNormLayers(const BertSize& sizes, const PreNormNames& names, Tensors& tensors, Weight frequencies = {});

  // The last hidden state of the rows that are wanted, of x [tokens, hidden]; sum, as large, is overwritten as x is.
  void* operator()(Run& run, void* x, void* sum) const;

 private:
  struct Layer {
    Norm attention_norm;
    Linear qkv;
    PreNormTail tail;
  };

  std::size_t hidden_, heads_, intermediate_;
  filbert_activation activation_;
  Weight frequencies_;
  std::vector<Layer> layers_;
  Norm last_norm_;
};

}  // namespace filbert
