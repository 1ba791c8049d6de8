#include "models/rotation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>

namespace filbert {
namespace {

// Every step is rounded to float32, as torch does it: far along a text, a last bit of a frequency is a visible angle.
// theta^(2 i / rotary), i < rotary / 2.
std::vector<float> periods(double theta, std::size_t rotary) {
  const auto base = static_cast<double>(static_cast<float>(theta));
  std::vector<float> result;
  for (std::size_t i = 0; i < rotary; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rotary);
    result.push_back(static_cast<float>(std::pow(base, static_cast<double>(exponent))));
  }
  return result;
}

void refuse_partial_rotation(const ConfigReader& parameters) {
  if (parameters.positive_number("partial_rotary_factor", 1.0) != 1.0)
    parameters.fail("partial_rotary_factor", "1: heads turn as a whole");
}

double read_factor(const ConfigReader& parameters, const char* field, const std::string& expected) {
  if (!parameters.has(field)) parameters.fail(field, expected);
  return parameters.positive_number(field, 1);
}

// All are slowed alike.
std::vector<float> linear_frequencies(const ConfigReader& parameters, double theta, std::size_t rotary) {
  const auto factor = static_cast<float>(read_factor(parameters, "factor", "a number: how much longer texts may be"));
  std::vector<float> result = rotary_frequencies(theta, rotary);
  for (float& frequency : result) frequency /= factor;
  return result;
}

// Llama 3.1 (arXiv:2407.21783): those that turn less than low_freq_factor times in a text of `original` tokens are
// slowed, those that turn more than high_freq_factor times are not, and those between in part.
std::vector<float> llama3_frequencies(const ConfigReader& parameters, double theta, std::size_t rotary,
                                      std::int64_t original) {
  const double low = read_factor(parameters, "low_freq_factor", "a number of turns");
  const double high = read_factor(parameters, "high_freq_factor", "a number of turns");
  if (high <= low) parameters.fail("high_freq_factor", "a number above low_freq_factor");
  const auto factor = static_cast<float>(read_factor(parameters, "factor", "a number: how much longer texts may be"));
  const auto length = static_cast<float>(original);
  const auto longest_whole = static_cast<float>(static_cast<double>(original) / high);
  const auto shortest_slowed = static_cast<float>(static_cast<double>(original) / low);
  constexpr auto kTurn = static_cast<float>(2 * std::numbers::pi);
  std::vector<float> result = rotary_frequencies(theta, rotary);
  for (float& frequency : result) {
    const float wavelength = 1.0f / frequency * kTurn;
    if (wavelength < longest_whole) continue;
    const float slowed = frequency / factor;
    if (wavelength > shortest_slowed) {
      frequency = slowed;
      continue;
    }
    const float share = (1.0f / wavelength * length - static_cast<float>(low)) / static_cast<float>(high - low);
    frequency = (1.0f - share) * frequency / factor + share * frequency;
  }
  return result;
}

// In these objects 0 is as good as nothing, for transformers asks whether a value is true.
bool says(const ConfigReader& parameters, const char* field) {
  const JsonValue* const value = parameters.find(field);
  return value != nullptr && value->number() != 0.0;
}

double read_unless_zero(const ConfigReader& parameters, const char* field, double fallback) {
  return says(parameters, field) ? parameters.positive_number(field, fallback) : fallback;
}

// YaRN (Peng et al., arXiv:2309.00071): pairs that turn beta_fast times or more in a text of `original` tokens keep
// their frequencies, those that turn beta_slow times or less are slowed by factor, and between them is a ramp.
std::vector<float> yarn_frequencies(const ConfigReader& parameters, double theta, std::size_t rotary, double factor,
                                    std::int64_t original, bool truncates) {
  if (theta == 1) parameters.fail_with("rope_theta: found 1, expected another number: YaRN divides by its logarithm");
  const auto pair_that_turns = [&](double times) {
    const double turns = static_cast<double>(original) / (times * 2 * std::numbers::pi);
    return static_cast<double>(rotary) * std::log(turns) / (2 * std::log(theta));
  };
  double first = pair_that_turns(read_unless_zero(parameters, "beta_fast", 32));
  double last = pair_that_turns(read_unless_zero(parameters, "beta_slow", 1));
  if (truncates) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(rotary) - 1);
  if (first == last) last += 0.001;
  const auto begin = static_cast<float>(first), length = static_cast<float>(last - first);
  std::vector<float> result = periods(theta, rotary);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const float kept = 1.0f - std::clamp((static_cast<float>(i) - begin) / length, 0.0f, 1.0f);
    const float whole = 1.0f / result[i];
    const float slowed = 1.0f / (static_cast<float>(factor) * result[i]);
    result[i] = slowed * (1.0f - kept) + whole * kept;
  }
  return result;
}

// What YaRN multiplies cosines and sines by.
double yarn_growth(const ConfigReader& parameters, double factor) {
  if (parameters.has("attention_factor")) return parameters.positive_number("attention_factor", 1);
  const auto growth = [&](double share) { return factor <= 1 ? 1 : 0.1 * share * std::log(factor) + 1; };
  if (!says(parameters, "mscale") || !says(parameters, "mscale_all_dim")) return growth(1);
  return growth(parameters.positive_number("mscale", 1)) / growth(parameters.positive_number("mscale_all_dim", 1));
}

Rotation yarn(const ConfigReader& parameters, double theta, std::size_t rotary, std::int64_t longest,
              std::int64_t original, bool truncates) {
  double factor = static_cast<double>(longest) / static_cast<double>(original);
  if (!parameters.is_null("factor"))
    factor = read_factor(parameters, "factor", "a number, or null: max_position_embeddings tells");
  const double growth = yarn_growth(parameters, factor);
  return {yarn_frequencies(parameters, theta, rotary, factor, original, truncates),
          static_cast<float>(growth * growth)};
}

std::string read_type(const ConfigReader& parameters) {
  const char* const field = parameters.one_name("rope_type", "type");
  if (parameters.is_null(field)) parameters.fail(field, "a string");
  if (!parameters.has(field) && parameters.is_null("type")) parameters.fail("type", "a string");
  const std::string type = parameters.string(field, "default");
  if (type == "dynamic" || type == "longrope")
    parameters.fail(field, R"("default", "linear", "llama3" or "yarn": the frequencies of this one change with the )"
                           "length of the longest text of a batch, and so would results");
  return type;
}

// Null is an error, as in transformers.
double read_theta(const ConfigReader& config, const char* field, double fallback) {
  if (config.is_null(field)) config.fail(field, "a number");
  return config.positive_number(field, fallback);
}

// Where `parameters` has none, the one beside it: no matter what that is otherwise.
double read_theta(const ConfigReader& config, const std::optional<ConfigReader>& parameters, const RotaryModel& model) {
  if (parameters && (parameters->has("rope_theta") || parameters->is_null("rope_theta")))
    return read_theta(*parameters, "rope_theta", model.theta);
  return model.theta_field == nullptr ? model.theta : read_theta(config, model.theta_field, model.theta);
}

// Of an object that tells a rotation. original: the positions that a model began with, if they stand outside of it.
Rotation read(const ConfigReader& parameters, const RotaryModel& model, double theta,
              std::optional<std::int64_t> original, bool truncates) {
  const std::string type = read_type(parameters);
  parameters.one_of(parameters.has("rope_type") ? "rope_type" : "type", "default",
                    {"default", "linear", "llama3", "yarn"});
  refuse_partial_rotation(parameters);
  for (const char* field : {"partial_rotary_factor", "original_max_position_embeddings"})
    if (parameters.is_null(field)) parameters.fail(field, "a number");
  if (type == "linear") return {linear_frequencies(parameters, theta, model.head_size)};
  if (type == "default") return {rotary_frequencies(theta, model.head_size)};
  const auto longest = static_cast<std::int64_t>(model.longest);
  if (!original)
    original = parameters.positive_int("original_max_position_embeddings", longest, config_limits::kPositions);
  if (type == "yarn") return yarn(parameters, theta, model.head_size, longest, *original, truncates);
  return {llama3_frequencies(parameters, theta, model.head_size, *original)};
}

// Null counts as false.
bool read_truncates(const ConfigReader& parameters) {
  return !parameters.is_null("truncate") && parameters.boolean("truncate", true);
}

// rope_scaling, from before rope_parameters, where it says anything.
std::optional<ConfigReader> older_parameters(const ConfigReader& config) {
  const JsonValue* const scaling = config.find("rope_scaling");
  if (scaling != nullptr && scaling->object() != nullptr && scaling->object()->members().empty()) return std::nullopt;
  return config.object("rope_scaling");
}

std::optional<ConfigReader> parameters_of_all(const ConfigReader& config) {
  refuse_partial_rotation(config);
  const auto older = older_parameters(config);
  const auto found = older ? older : config.object("rope_parameters");
  if (found)
    for (const char* field : {"full_attention", "sliding_attention"})
      if (found->has(field)) found->fail(field, "one rotation for all layers");
  return found;
}

}  // namespace

std::vector<float> rotary_frequencies(double theta, std::size_t rotary) {
  std::vector<float> result = periods(theta, rotary);
  for (float& each : result) each = 1.0f / each;
  return result;
}

std::vector<float> ntk_frequencies(double theta, double factor, std::size_t rotary) {
  std::vector<float> result = rotary_frequencies(theta * factor, rotary);
  const auto stretch = static_cast<float>(std::pow(factor, 2.0 / static_cast<double>(rotary)));
  for (float& frequency : result) frequency /= stretch;
  return result;
}

Rotation read_rotation(const ConfigReader& config, const RotaryModel& model) {
  const auto parameters = parameters_of_all(config);
  const double theta = read_theta(config, parameters, model);
  if (!parameters) return {rotary_frequencies(theta, model.head_size)};
  const auto original = config.optional_int("original_max_position_embeddings", 1, config_limits::kPositions);
  return read(*parameters, model, theta, original, read_truncates(*parameters));
}

Rotation read_rotation_of_kind(const ConfigReader& config, const char* kind, const RotaryModel& model) {
  refuse_partial_rotation(config);
  const auto older = model.takes_scaling ? older_parameters(config) : std::nullopt;
  const auto all = config.object("rope_parameters");
  const auto own = all ? all->object(kind) : std::nullopt;
  if (all)
    for (const char* field : {"rope_theta", "rope_type", "type", "truncate"})
      if (all->has(field)) all->fail(field, "an object for full_attention and one for sliding_attention");
  if (older && older->has("type") && !older->has("rope_type"))
    older->fail("type", "none but rope_type, which alone counts where layers are of several kinds");
  if (older && own) config.fail("rope_scaling", "none beside rope_parameters." + std::string(kind));
  const auto found = older ? older : own;
  const double theta = read_theta(config, found, model);
  if (!found) return {rotary_frequencies(theta, model.head_size)};
  // transformers asks for it in the wrong place, where layers are of several kinds.
  if (!read_truncates(*found)) found->fail("truncate", "true: layers are of several kinds");
  return read(*found, model, theta, std::nullopt, true);
}

Rotation read_rotation_or_ntk(const ConfigReader& config, const RotaryModel& model) {
  const auto parameters = parameters_of_all(config);
  if (!parameters || read_type(*parameters) != "ntk") return read_rotation(config, model);
  refuse_partial_rotation(*parameters);
  if (parameters->has("mixed_b")) parameters->fail("mixed_b", "none: all frequencies are stretched by one rule");
  const double factor = read_factor(*parameters, "factor", "a number: how much longer texts may be");
  return {ntk_frequencies(read_theta(config, parameters, model), factor, model.head_size)};
}

}  // namespace filbert
