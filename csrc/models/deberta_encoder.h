// DeBERTa (He et al., arXiv:2006.03654 and arXiv:2111.09543): BERT whose attention also scores what a token says
// against where the other one stands.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/deberta_sizes.h"
#include "models/layers.h"

namespace filbert {

// What a layer's attention multiplies by. Null: nothing, or what qkv has for it, too.
struct DebertaProjections {
  Linear qkv;                     // of tokens: the heads of q, then of k, then of v
  Linear position_k, position_q;  // of relative positions
};

class DebertaEncoder : public Encoder {
 public:
  // The projections of the layer of that name, whose input the norm gives.
  using MakeProjections = DebertaProjections (*)(const DebertaSizes& sizes, Tensors& tensors, const std::string& name,
                                                 const InputNorm& input);

  DebertaEncoder(const DebertaSizes& sizes, MakeProjections make_projections, Tensors& tensors);
  Dimensions dimensions() const override;
  void* forward(Run& run) const override;

 private:
  struct Layer {
    Linear qkv;
    PostNormTail tail;
    std::vector<Activations> tables;  // what these lie in:
    filbert_heads position_k, position_q;
  };

  Activations relative_positions(Tensors& tensors) const;
  void project_positions(Tensors& tensors, const DebertaProjections& by, const Activations& relative,
                         Layer& layer) const;
  void embed_tokens(const Run& run, void* sum, void* x) const;
  void* around_tokens(const Run& run, const void* x) const;

  DebertaSizes config_;
  Weight word_, type_, position_;
  Linear project_;
  Norm embedding_norm_;
  Linear kernel_;
  Norm kernel_norm_;
  std::vector<Layer> layers_;
  Weight rows_;
  std::int64_t reach_ = 0;
};

// A table of positions that a file may have though the configuration wants none.
inline constexpr Skipped kDebertaSkipped = {"embeddings.position_embeddings."};

// Heads of all versions: of texts, tokens, answers and words.
std::unique_ptr<Head> deberta_head(Task task, const ConfigReader& config, Tensors& tensors, const DebertaSizes& sizes);

}  // namespace filbert
