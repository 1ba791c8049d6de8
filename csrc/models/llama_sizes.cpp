#include "models/llama_sizes.h"

#include <cstdint>
#include <utility>

#include "models/attention_settings.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

struct Defaults {
  std::int64_t vocabulary, hidden, intermediate, layers, heads;
  std::int64_t kv_heads;   // 0: as many as heads
  std::int64_t head_size;  // 0: heads share the hidden size
  std::int64_t longest;
  double eps = 1e-6;
};

// What all of them call alike. Tokens see each other, and there are no biases.
LlamaSizes read(const ConfigReader& config, const Defaults& defaults) {
  const std::int64_t hidden = config.positive_int("hidden_size", defaults.hidden, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", defaults.heads, kHeads);
  const std::int64_t usual = defaults.kv_heads == 0 ? heads : defaults.kv_heads;
  const std::int64_t kv_heads =
      config.is_null("num_key_value_heads") ? heads : config.positive_int("num_key_value_heads", usual, kHeads);
  config.require_divisible("num_attention_heads", heads, "num_key_value_heads", kv_heads);
  const bool shared = defaults.head_size == 0;
  if (shared && !config.has("head_dim")) config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  const std::size_t head_size = read_head_size(config, shared ? hidden / heads : defaults.head_size);
  const std::size_t layers = size(config.positive_int("num_hidden_layers", defaults.layers, kLayers));
  const std::size_t longest = size(config.positive_int("max_position_embeddings", defaults.longest, kPositions));
  return {
      .vocabulary = size(config.positive_int("vocab_size", defaults.vocabulary, kVocabulary)),
      .hidden = size(hidden),
      .layers = layers,
      .heads = size(heads),
      .kv_heads = size(kv_heads),
      .head_size = head_size,
      .intermediate = size(config.positive_int("intermediate_size", defaults.intermediate, kIntermediateSize)),
      .longest = longest,
      .window = 0,
      .eps = static_cast<float>(config.positive_number("rms_norm_eps", defaults.eps)),
      .qkv_bias = false,
      .attention_out_bias = false,
      .mlp_bias = false,
      .causal = false,
      .norms_heads = false,
      .activation = read_activation(config, "hidden_act", "silu"),
      .is_sliding = std::vector<bool>(layers, false),
      .rotation = read_rotation(config, {10000, head_size, longest}),
  };
}

void read_attention_bias(const ConfigReader& config, LlamaSizes& sizes) {
  sizes.qkv_bias = sizes.attention_out_bias = config.boolean("attention_bias", false);
}

bool read_causal(const ConfigReader& config) {
  return !config.is_null("is_causal") && config.boolean("is_causal", true);  // null is false
}

// Of a causal layer it counts the token that asks, too. At 1 that one would see itself alone, and a window of 0 is
// none.
std::size_t read_window(const ConfigReader& config, bool causal) {
  return size(config.optional_int("sliding_window", 2, kPositions).value_or(4096)) - (causal ? 1 : 0);
}

// Qwen's windows: of the layers from some number on, or as layer_types says.
void read_some_windows(const ConfigReader& config, LlamaSizes& sizes) {
  if (config.boolean("use_sliding_window", false) && !config.is_null("sliding_window"))
    sizes.window = read_window(config, sizes.causal);
  const std::size_t first_sliding = size(config.non_negative_int("max_window_layers", 28, kLayers));
  sizes.is_sliding =
      read_sliding_layers(config, sizes.layers, [&](std::size_t i) { return sizes.window > 0 && i >= first_sliding; });
  for (const bool sliding : sizes.is_sliding)
    if (sliding && sizes.window == 0)
      config.fail("layer_types", "no \"sliding_attention\" without use_sliding_window and sliding_window");
}

// Heads share the hidden size, even where head_dim says of how many numbers they are.
void require_shared(const ConfigReader& config, const LlamaSizes& sizes) {
  config.require_divisible("hidden_size", static_cast<std::int64_t>(sizes.hidden), "num_attention_heads",
                           static_cast<std::int64_t>(sizes.heads));
}

}  // namespace

LlamaSizes read_llama(const ConfigReader& config) {
  LlamaSizes sizes = read(config, {32000, 4096, 11008, 32, 32, 0, 0, 2048});
  require_shared(config, sizes);
  read_attention_bias(config, sizes);
  sizes.mlp_bias = config.boolean("mlp_bias", false);
  sizes.causal = read_causal(config);
  return sizes;
}

LlamaSizes read_mistral(const ConfigReader& config) {
  LlamaSizes sizes = read(config, {32000, 4096, 14336, 32, 32, 8, 0, 131072});
  sizes.causal = read_causal(config);
  if (!config.is_null("sliding_window")) {
    sizes.window = read_window(config, sizes.causal);
    sizes.is_sliding.assign(sizes.layers, true);
  }
  return sizes;
}

LlamaSizes read_qwen2(const ConfigReader& config) {
  LlamaSizes sizes = read(config, {151936, 4096, 22016, 32, 32, 32, 0, 32768});
  sizes.qkv_bias = true;
  sizes.causal = read_causal(config);
  read_some_windows(config, sizes);
  return sizes;
}

LlamaSizes read_qwen3(const ConfigReader& config) {
  if (config.is_null("head_dim")) config.fail("head_dim", "an even integer: heads turn in pairs");
  LlamaSizes sizes = read(config, {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  read_attention_bias(config, sizes);
  sizes.norms_heads = true;
  sizes.causal = read_causal(config);
  read_some_windows(config, sizes);
  return sizes;
}

LlamaSizes read_eurobert(const ConfigReader& config) {
  LlamaSizes sizes = read(config, {128256, 768, 3072, 12, 12, 0, 0, 8192, 1e-5});
  require_shared(config, sizes);
  read_attention_bias(config, sizes);
  sizes.mlp_bias = config.boolean("mlp_bias", false);
  return sizes;
}

}  // namespace filbert
