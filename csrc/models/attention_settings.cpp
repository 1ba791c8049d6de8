#include "models/attention_settings.h"

#include <bit>
#include <cmath>
#include <string>

#include "files/text.h"

namespace filbert {
namespace {

void refuse_partial_rotation(const ConfigReader& parameters) {
  if (parameters.positive_number("partial_rotary_factor", 1.0) != 1.0)
    parameters.fail("partial_rotary_factor", "1: heads turn as a whole");
}

}  // namespace

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

double read_theta(const ConfigReader& parameters, double fallback) {
  for (const char* field : {"rope_type", "type"}) parameters.one_of(field, "default", {"default"});
  refuse_partial_rotation(parameters);
  return read_theta_named(parameters, "rope_theta", fallback);
}

double read_theta_named(const ConfigReader& config, const char* field, double fallback) {
  if (config.is_null(field)) config.fail(field, "a number");
  return config.positive_number(field, fallback);
}

void refuse_scaled_rotation(const ConfigReader& config) {
  refuse_partial_rotation(config);
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

double read_theta_of_all(const ConfigReader& config, double fallback) {
  refuse_scaled_rotation(config);
  const double older = read_theta_named(config, "rope_theta", fallback);
  const auto parameters = config.object("rope_parameters");
  if (!parameters) return older;
  for (const char* field : {"full_attention", "sliding_attention"})
    if (parameters->has(field)) parameters->fail(field, "one rope_theta for all layers");
  return read_theta(*parameters, older);
}

double read_theta_of_kind(const ConfigReader& config, const char* kind, double older) {
  const auto all = config.object("rope_parameters");
  if (!all) return older;
  for (const char* field : {"rope_theta", "rope_type", "type"})
    if (all->has(field)) all->fail(field, "an object for full_attention and one for sliding_attention");
  const auto own = all->object(kind);
  return own ? read_theta(*own, older) : older;
}

std::vector<float> ntk_frequencies(double theta, double factor, std::size_t rotary) {
  std::vector<float> result = rotary_frequencies(theta * factor, rotary);
  const auto stretch = static_cast<float>(std::pow(factor, 2.0 / static_cast<double>(rotary)));
  for (float& frequency : result) frequency /= stretch;
  return result;
}

std::vector<float> read_ntk_frequencies(const ConfigReader& config, double theta, std::size_t rotary) {
  theta = read_theta_named(config, "rope_theta", theta);
  double factor = 1;
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const auto parameters = config.object(field);
    if (!parameters) continue;
    const bool is_ntk = parameters->one_of("rope_type", "default", {"default", "ntk"}) == "ntk" ||
                        parameters->one_of("type", "default", {"default", "ntk"}) == "ntk";
    refuse_partial_rotation(*parameters);
    if (parameters->has("mixed_b")) parameters->fail("mixed_b", "none: all frequencies are stretched by one rule");
    if (is_ntk && !parameters->has("factor")) parameters->fail("factor", "a number: how much longer texts may be");
    if (is_ntk) factor = parameters->positive_number("factor", 1);
    theta = read_theta_named(*parameters, "rope_theta", theta);
  }
  return ntk_frequencies(theta, factor, rotary);
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
