#include "models/llama_sizes.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

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

// What all of them call alike, without rotations. Tokens see each other, and there are no biases.
LlamaSizes read_sizes(const ConfigReader& config, const Defaults& defaults) {
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
      .full = {},
      .sliding = {},
  };
}

// The same with one rotation of all layers.
LlamaSizes read(const ConfigReader& config, const Defaults& defaults) {
  LlamaSizes sizes = read_sizes(config, defaults);
  sizes.full = sizes.sliding = read_rotation(config, {10000, sizes.head_size, sizes.longest});
  return sizes;
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

// A number a layer, as older files of UltraBERT list them.
template <typename Number>
std::vector<Number> read_listed(const ConfigReader& config, const std::string& field, std::size_t layers,
                                const std::string& expected, std::optional<Number> (*number)(const JsonValue&)) {
  const JsonValue::Array* const list = config.find(field)->array();
  if (list == nullptr || list->size() != layers)
    config.fail(field, "an array of num_hidden_layers (" + std::to_string(layers) + ") numbers");
  std::vector<Number> result;
  for (const JsonValue& item : *list) {
    const std::optional<Number> found = number(item);
    if (!found)
      config.fail_with(field + ": found " + item.describe() + " at " + std::to_string(result.size()) + ", expected " +
                       expected);
    result.push_back(*found);
  }
  return result;
}

// Of a layer that sees all, it is null or 0.
std::optional<std::size_t> listed_window(const JsonValue& item) {
  if (item.is_null()) return 0;
  const std::optional<std::int64_t> window = item.int64();
  if (!window || *window < 0 || *window > kPositions) return std::nullopt;
  return size(*window);
}

std::optional<double> listed_theta(const JsonValue& item) {
  const std::optional<double> theta = item.number();
  constexpr double kMin = std::numeric_limits<float>::min(), kMax = std::numeric_limits<float>::max();
  return theta && *theta >= kMin && *theta <= kMax ? theta : std::nullopt;
}

bool has_layers(const LlamaSizes& sizes, bool sliding) {
  return std::find(sizes.is_sliding.begin(), sizes.is_sliding.end(), sliding) != sizes.is_sliding.end();
}

// UltraBERT's windows: of two layers in three, or as layer_types or the older attention_windows says.
void read_ultrabert_windows(const ConfigReader& config, LlamaSizes& sizes) {
  std::vector<std::size_t> listed;
  if (config.has("attention_windows"))
    listed = read_listed(config, "attention_windows", sizes.layers, "an integer from 0 on, or null", listed_window);
  for (const std::size_t window : listed) {
    if (window == 0) continue;
    if (sizes.window != 0 && window != sizes.window)
      config.fail("attention_windows", "windows of one size: transformers gives all layers the first one");
    sizes.window = window;
  }
  sizes.is_sliding = read_sliding_layers(
      config, sizes.layers, [&](std::size_t i) { return listed.empty() ? (i + 1) % 3 != 0 : listed[i] != 0; });
  if (sizes.window == 0 && !config.is_null("sliding_window"))
    sizes.window = size(config.non_negative_int("sliding_window", 128, kPositions));
  if (sizes.window == 0 && has_layers(sizes, true))
    config.fail("sliding_window", "an integer above 0: some layers see only what is near");
}

// How those of UltraBERT's layers turn that have a window, or the others: as rope_parameters says, or as the older
// rope_theta lists it.
Rotation read_ultrabert_rotation(const ConfigReader& config, const LlamaSizes& sizes, bool sliding) {
  const char* const kind = sliding ? "sliding_attention" : "full_attention";
  double theta = sliding ? 10000 : 2560000;
  if (const std::optional<ConfigReader> parameters = config.object("rope_parameters")) {
    theta = 10000;  // where it leaves that out, of either kind
    if (has_layers(sizes, sliding) && !parameters->has(kind))
      parameters->fail(kind, "an object: some layers are of this kind");
  } else if (config.has("rope_theta")) {
    const std::vector<double> listed =
        read_listed(config, "rope_theta", sizes.layers, "a number above 0 that fits in float32", listed_theta);
    std::optional<double> first;
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      if (sizes.is_sliding[i] != sliding) continue;
      if (first && listed[i] != *first)
        config.fail("rope_theta", "one number for all layers of a kind: transformers gives them the last one");
      first = listed[i];
    }
    theta = first.value_or(theta);
  }
  return read_rotation_of_kind(config, kind, {theta, sizes.head_size, sizes.longest, nullptr, false});
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

LlamaSizes read_ultrabert(const ConfigReader& config) {
  if (config.has("rope_scaling"))
    config.fail("rope_scaling", "none: rope_parameters says how each kind of layers turns");
  LlamaSizes sizes = read_sizes(config, {32000, 4096, 11008, 32, 32, 0, 0, 32768});
  require_shared(config, sizes);
  read_attention_bias(config, sizes);
  sizes.mlp_bias = config.boolean("mlp_bias", false);
  read_ultrabert_windows(config, sizes);
  sizes.full = read_ultrabert_rotation(config, sizes, false);
  sizes.sliding = read_ultrabert_rotation(config, sizes, true);
  return sizes;
}

}  // namespace filbert
