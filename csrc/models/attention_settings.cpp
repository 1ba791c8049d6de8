#include "models/attention_settings.h"

#include <cmath>
#include <string>

#include "files/text.h"

namespace filbert {

double read_theta(const ConfigReader& parameters, double fallback) {
  for (const char* field : {"rope_type", "type"}) parameters.one_of(field, "default", {"default"});
  if (parameters.positive_number("partial_rotary_factor", 1.0) != 1.0)
    parameters.fail("partial_rotary_factor", "1: heads turn as a whole");
  if (parameters.is_null("rope_theta")) parameters.fail("rope_theta", "a number");
  return parameters.positive_number("rope_theta", fallback);
}

void refuse_scaled_rotation(const ConfigReader& config) {
  if (config.positive_number("partial_rotary_factor", 1.0) != 1.0)
    config.fail("partial_rotary_factor", "1: heads turn as a whole");
  const auto scaling = config.object("rope_scaling");
  if (!scaling) return;
  read_theta(*scaling, 1.0);
  for (const char* field : {"rope_theta", "factor"})
    if (scaling->has(field)) scaling->fail(field, "none: only rope_parameters tells the rotation");
}

std::vector<float> rotary_frequencies(double theta, std::size_t rotary) {
  // Each step is rounded to float32, as torch does it: far along a text, a last bit here is a visible angle.
  const auto base = static_cast<double>(static_cast<float>(theta));
  std::vector<float> result;
  for (std::size_t i = 0; i < rotary; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rotary);
    result.push_back(1.0f / static_cast<float>(std::pow(base, static_cast<double>(exponent))));
  }
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
