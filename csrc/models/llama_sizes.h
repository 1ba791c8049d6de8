// What configurations of Llama say, and those of the families that are Llama but for a few settings.
#pragma once

#include <cstddef>
#include <vector>

#include "files/config.h"
#include "models/activations.h"
#include "models/rotation.h"

namespace filbert {

struct LlamaSizes {
  std::size_t vocabulary, hidden, layers, heads, kv_heads, head_size, intermediate, longest;
  std::size_t window;  // tokens that are seen to either side, of a causal layer before the one that asks
  float eps;
  bool qkv_bias, attention_out_bias, mlp_bias;
  bool causal, norms_heads;
  filbert_activation activation;
  std::vector<bool> is_sliding;  // a layer
  Rotation full, sliding;        // of layers that see all, and of those with a window
};

LlamaSizes read_llama(const ConfigReader& config);
LlamaSizes read_mistral(const ConfigReader& config);
LlamaSizes read_qwen2(const ConfigReader& config);
LlamaSizes read_qwen3(const ConfigReader& config);
LlamaSizes read_eurobert(const ConfigReader& config);
LlamaSizes read_ultrabert(const ConfigReader& config);

}  // namespace filbert
