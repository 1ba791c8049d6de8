#include "models/attention_settings.h"

#include <bit>
#include <cmath>
#include <string>

#include "files/text.h"

namespace filbert {

std::size_t read_head_size(const ConfigReader& config, std::int64_t fallback) {
  const std::int64_t head_size = config.positive_int("head_dim", fallback, config_limits::kHiddenSize);
  if (head_size % 2 != 0) config.fail("head_dim", "an even integer: heads turn in pairs");
  return static_cast<std::size_t>(head_size);
}

std::size_t rotary_head_size(const ConfigReader& config, const char* hidden_field, std::int64_t hidden,
                             const char* heads_field, std::int64_t heads) {
  config.require_divisible(hidden_field, hidden, heads_field, heads);
  if (hidden / heads % 2 != 0) config.fail(hidden_field, "an even number a head: they turn in pairs");
  return static_cast<std::size_t>(hidden / heads);
}

std::vector<double> alibi_slopes(std::size_t heads) {
  const std::size_t lower = std::bit_floor(heads);
  const auto slope = [](std::size_t head, std::size_t power) {
    return std::pow(2.0, -8.0 * static_cast<double>(head + 1) / static_cast<double>(power));
  };
  std::vector<double> result;
  for (std::size_t head = 0; head < lower; ++head) result.push_back(slope(head, lower));
  for (std::size_t head = 0; result.size() < heads; head += 2) result.push_back(slope(head, 2 * lower));
  return result;
}

std::vector<bool> read_sliding_layers(const ConfigReader& config, std::size_t layers,
                                      const std::function<bool(std::size_t)>& by_default) {
  std::vector<bool> result;
  const auto types = config.strings("layer_types");
  if (!types) {
    for (std::size_t i = 0; i < layers; ++i) result.push_back(by_default(i));
    return result;
  }
  if (types->size() != layers)
    config.fail_with("layer_types: found " + std::to_string(types->size()) + " layers, expected num_hidden_layers (" +
                     std::to_string(layers) + ")");
  for (const std::string& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      config.fail_with("layer_types: found " + quote(type) + ", expected \"full_attention\" or \"sliding_attention\"");
    result.push_back(type == "sliding_attention");
  }
  return result;
}

}  // namespace filbert
