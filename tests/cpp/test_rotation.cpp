// Scaled rotary positions beside those of transformers (tests/golden/make_rotations.py), by hand, and as errors.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include "models/rotation.h"

using namespace filbert;

namespace {

constexpr double kEpsilon = 0x1p-24;  // of a float that is rounded once

Rotation read(const std::string& json, std::size_t head_size = 4, std::size_t longest = 1024) {
  const JsonValue root = parse_config(json, "config");
  return read_rotation(ConfigReader(root, "config"), {10000, head_size, longest});
}

std::string error_of(const std::string& json) {
  try {
    read(json);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

double number(const JsonObject& object, const char* key, double fallback = 0) {
  const JsonValue* const value = object.find(key);
  return value == nullptr ? fallback : value->number().value_or(fallback);
}

// How far apart two libraries may be. theta^x is off by one unit of the last place at most, which is two roundings, and
// up to eight more follow. Llama 3 subtracts low_freq_factor from how often a pair turns, at most high_freq_factor
// times: what that is off by, six roundings, counts for `factor` times as much in what was divided by it.
double allowed(const JsonObject& parameters) {
  const double low = number(parameters, "low_freq_factor"), high = number(parameters, "high_freq_factor");
  const double more = high == 0 ? 0 : 6 * std::max(1.0, number(parameters, "factor")) * high / (high - low);
  return kEpsilon * (10 + more);
}

}  // namespace

TEST_CASE("rotation: beside transformers") {
  std::ifstream file(FILBERT_GOLDEN "/rotations.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const JsonValue root = parse_json(text, {.python = true});
  REQUIRE(root.array() != nullptr);
  REQUIRE(root.array()->size() == 90);
  for (const JsonValue& each : *root.array()) {
    const JsonObject& stored = *each.object();
    const JsonValue& config = *stored.find("config");
    const JsonObject& settings = *config.object();
    const auto head_size = static_cast<std::size_t>(number(settings, "head_dim"));
    const auto longest = static_cast<std::size_t>(number(settings, "max_position_embeddings"));
    const Rotation found = read_rotation(ConfigReader(config, "config"), {10000, head_size, longest});
    const JsonValue* const older = settings.find("rope_scaling");
    const double limit = allowed(*(older ? older : settings.find("rope_parameters"))->object());
    const JsonValue::Array& expected = *stored.find("frequencies")->array();
    REQUIRE(found.frequencies.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double frequency = *expected[i].number();
      CHECK(std::abs(static_cast<double>(found.frequencies[i]) - frequency) <= limit * frequency);
    }
    const double growth = number(stored, "growth");
    CHECK(static_cast<double>(found.score_scale) == doctest::Approx(growth * growth).epsilon(2 * kEpsilon));
  }
}

TEST_CASE("rotation: which object tells it, and of what it says nothing") {
  const auto plain = rotary_frequencies(10000, 4);
  CHECK(read("{}").frequencies == plain);
  CHECK(read(R"({"rope_scaling": null, "rope_parameters": null})").frequencies == plain);
  CHECK(read(R"({"rope_scaling": {"type": "default"}})").frequencies == plain);
  CHECK(read(R"({"rope_parameters": {"rope_theta": 100}})").frequencies == rotary_frequencies(100, 4));
  CHECK(read(R"({"rope_scaling": {}, "rope_parameters": {"rope_theta": 100}})").frequencies ==
        rotary_frequencies(100, 4));
  CHECK(
      read(
          R"({"rope_theta": 50, "rope_scaling": {"factor": 1, "type": "linear"}, "rope_parameters": {"rope_theta": 9}})")
          .frequencies == rotary_frequencies(50, 4));
  // The positions that a model began with may stand outside, where they count, or be all that it has.
  const std::string yarn = R"("rope_scaling": {"type": "yarn", "factor": 4)";
  CHECK(read("{" + yarn + R"(, "original_max_position_embeddings": 64}})").frequencies ==
        read("{" + yarn + R"(}, "original_max_position_embeddings": 64})").frequencies);
  CHECK(read("{" + yarn + R"(, "original_max_position_embeddings": 1024}})").frequencies ==
        read("{" + yarn + "}}").frequencies);
  CHECK(read("{" + yarn + "}}").frequencies != read("{" + yarn + R"(, "beta_slow": 40}})").frequencies);
}

TEST_CASE("rotation: what scores are multiplied by") {
  const auto scale = [](const std::string& settings) {
    return static_cast<double>(read(R"({"rope_parameters": {"rope_type": "yarn", )" + settings + "}}").score_scale);
  };
  const double growth = 0.1 * std::log(4.0) + 1;
  CHECK(scale(R"("factor": 4)") == doctest::Approx(growth * growth));
  CHECK(scale(R"("factor": 0.5)") == 1);
  CHECK(scale(R"("factor": 4, "attention_factor": 3)") == 9);
  CHECK(scale(R"("factor": 4, "mscale": 1, "mscale_all_dim": 1)") == 1);
  CHECK(scale(R"("factor": 4, "mscale": 1, "mscale_all_dim": 0)") == doctest::Approx(growth * growth));
  CHECK(scale(R"("factor": null, "original_max_position_embeddings": 256)") == doctest::Approx(growth * growth));
}

TEST_CASE("rotation: what is refused") {
  const std::string yarn = R"({"rope_parameters": {"rope_type": "yarn", "factor": 4)";
  const std::string llama3 =
      R"({"rope_scaling": {"type": "llama3", "factor": 4, "original_max_position_embeddings": 64)";
  const std::pair<std::string, const char*> cases[] = {
      {R"({"rope_scaling": {"type": "dynamic", "factor": 2}})",
       "config: rope_scaling.type: found \"dynamic\" (string), expected \"default\", \"linear\", \"llama3\" or "
       "\"yarn\": "
       "the frequencies of this one change with the length of the longest text of a batch, and so would results"},
      {R"({"rope_parameters": {"rope_type": "longrope"}})", "the length of the longest text"},
      {R"({"rope_scaling": {"rope_type": "su"}})", "rope_scaling.rope_type: found \"su\" (string), expected one of"},
      {R"({"rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 2}})", "expected what rope_type says"},
      {R"({"rope_scaling": {"type": "linear"}})", "rope_scaling.factor: missing, expected a number"},
      {R"({"rope_scaling": {"type": "linear", "factor": null}})", "rope_scaling.factor: found null, expected a number"},
      {R"({"rope_scaling": {"type": "linear", "factor": 0}})", "factor: found 0 (integer), expected a number above 0"},
      {R"({"rope_scaling": {"type": "linear", "factor": -2.0}})", "factor: found -2"},
      {R"({"rope_scaling": {"type": "linear", "factor": NaN}})", "factor: found nan (number)"},
      {R"({"rope_scaling": {"type": "linear", "factor": Infinity}})", "factor: found inf (number)"},
      {R"({"rope_scaling": {"type": "linear", "factor": "2"}})", "factor: found \"2\" (string)"},
      {R"({"rope_parameters": {"rope_type": "yarn"}})", "rope_parameters.factor: missing, expected a number, or null"},
      {yarn + R"(, "original_max_position_embeddings": 0}})", "original_max_position_embeddings: found 0"},
      {yarn + R"(, "original_max_position_embeddings": 64.5}})", "original_max_position_embeddings: found 64.5"},
      {yarn + R"(, "attention_factor": -1}})", "attention_factor: found -1"},
      {yarn + R"(, "beta_fast": -1}})", "beta_fast: found -1"},
      {yarn + R"(, "mscale": -1, "mscale_all_dim": 1}})", "mscale: found -1"},
      {yarn + R"(, "truncate": 1}})", "truncate: found 1 (integer), expected true or false"},
      {yarn + R"(, "rope_theta": 1}})", "rope_theta: found 1, expected another number"},
      {yarn + R"(, "partial_rotary_factor": 0.5}})", "partial_rotary_factor: found 0.5"},
      {llama3 + R"(, "high_freq_factor": 4}})", "low_freq_factor: missing"},
      {llama3 + R"(, "low_freq_factor": 1}})", "high_freq_factor: missing"},
      {llama3 + R"(, "low_freq_factor": 4, "high_freq_factor": 4}})", "expected a number above low_freq_factor"},
  };
  for (const auto& [json, told] : cases) {
    CAPTURE(json);
    CHECK(error_of(json).find(told) != std::string::npos);
  }
}
