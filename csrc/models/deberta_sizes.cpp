#include "models/deberta_sizes.h"

#include <algorithm>

#include "models/layers.h"

namespace filbert {

using namespace config_limits;

DebertaSizes read_deberta(const ConfigReader& config, const DebertaDefaults& defaults) {
  const std::int64_t hidden = config.positive_int("hidden_size", defaults.hidden, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", defaults.heads, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  const std::int64_t positions = config.positive_int("max_position_embeddings", 512, kPositions);
  const std::int64_t farthest = config.optional_int("max_relative_positions", -kPositions, kPositions).value_or(-1);
  constexpr char kTerms[] = "pos_att_type";
  const JsonValue* const value = config.find(kTerms);
  std::vector<std::string> terms;
  if (value != nullptr) terms = value->array() ? *config.strings(kTerms) : deberta_names(config.string(kTerms));
  const auto has_term = [&](std::string_view term) {
    return has_deberta_name(config, kTerms, terms, term, {"c2p", "p2c"});
  };
  return {
      .vocabulary = size(config.positive_int("vocab_size", defaults.vocabulary, kVocabulary)),
      .embedding = size(config.positive_int("embedding_size", hidden, kHiddenSize)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", defaults.layers, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", defaults.intermediate, kIntermediateSize)),
      .positions = size(positions),
      .token_types = size(config.non_negative_int("type_vocab_size", 0, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-7)),
      .activation = read_activation(config, "hidden_act", "gelu"),
      .has_positions = config.boolean("position_biased_input", true),
      .is_relative = config.boolean("relative_attention", false),
      .to_position = has_term("c2p"),
      .to_content = has_term("p2c"),
      .terms = terms.size(),
      .farthest = farthest < 1 ? positions : farthest,
  };
}

std::vector<std::string> deberta_names(const std::string& text) {
  std::vector<std::string> names(1);
  for (const char c : text) {
    if (c == '|')
      names.emplace_back();
    else
      names.back() += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  for (std::string& name : names) {
    name.erase(0, name.find_first_not_of(" \t\n"));
    name.erase(name.find_last_not_of(" \t\n") + 1);
  }
  return names;
}

bool has_deberta_name(const ConfigReader& config, const char* field, const std::vector<std::string>& names,
                      std::string_view wanted, const std::array<std::string_view, 2>& known) {
  for (const std::string& name : names)
    if (!name.empty() && name != known[0] && name != known[1])
      config.fail(field, "names among " + std::string(known[0]) + " and " + std::string(known[1]));
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

}  // namespace filbert
