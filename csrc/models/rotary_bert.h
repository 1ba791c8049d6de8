// BERT with rotary positions, post-norm: what nomic, gte and jina-embeddings-v3 share. The files on the hub have other
// names than those that transformers saves.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/experts.h"
#include "models/heads.h"
#include "models/layers.h"
#include "models/rotation.h"

namespace filbert {

// Feed-forward layers that are mixtures of experts: a token goes to `chosen` of them.
struct Mixtures {
  std::size_t every, experts, chosen;
  bool are_at(std::size_t layer) const { return layer % every == 1; }
};

struct RotaryBertSize {
  std::size_t vocabulary, hidden, layers, heads, intermediate, longest, token_types;
  float eps;
  bool attention_bias, up_bias, down_bias, is_gated;
  filbert_activation activation;
  Rotation rotation;
  std::size_t limit = size(config_limits::kPositions);  // of tokens
  std::optional<Mixtures> mixtures = std::nullopt;
};

// The parts of a layer, each behind the layer's own name; qkv and up are joined of as many tensors as are named.
struct RotaryBertNames {
  std::string embedding_norm, layers;
  std::vector<std::string> qkv;
  std::string attention_out, attention_norm;
  std::vector<std::string> up;
  Tensors::Gate gate = Tensors::Gate::upper;
  std::string down, output_norm;
};

// Those of transformers.
RotaryBertNames native_names(bool is_gated);

struct RotaryBertDefaults {
  std::int64_t vocabulary, hidden, layers, heads, intermediate, longest, token_types;
  double eps, theta;
};

// What gte and jina-embeddings-v3 have in common: biases, and settings that are named as BERT's.
RotaryBertSize read_rotary_bert(const ConfigReader& config, const RotaryBertDefaults& defaults);
// Throws unless the field is false or left out.
void refuse(const ConfigReader& config, const char* field);
// Some files tell what follows from others.
void check_head_size(const ConfigReader& config, std::size_t head_size, const std::string& hidden_name);
// Authors' code knows no rotation but the plain one and NTK's.
void refuse_other_rotations(const ConfigReader& config);
// The labels of nomic_bert and gte.
std::unique_ptr<Head> labels_head(Task task, const ConfigReader& config, Tensors& tensors, std::size_t hidden);

class RotaryBert : public Encoder {
 public:
  RotaryBert(const RotaryBertSize& sizes, const RotaryBertNames& names, Tensors& tensors);
  Dimensions dimensions() const override;
  void* forward(Run& run) const override;

 private:
  struct Layer {
    Linear qkv;
    PostNormTail tail;               // without `up` and `down` where there are
    std::optional<Experts> experts;  // in their place
  };

  RotaryBertSize config_;
  Weight word_, type_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  Weight frequencies_;
};

}  // namespace filbert
