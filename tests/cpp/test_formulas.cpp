// Formulas of attention by values that were computed by hand: a library to compare with may share a mistake.
#include <doctest/doctest.h>

#include "models/attention_settings.h"
#include "models/rotation.h"

using namespace filbert;

namespace {

void check_near(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

std::vector<double> doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

}  // namespace

TEST_CASE("formulas: slopes of ALiBi") {
  check_near(alibi_slopes(1), {1.0 / 256});
  check_near(alibi_slopes(2), {1.0 / 16, 1.0 / 256});
  check_near(alibi_slopes(8), {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625});
  // Of 12 heads: those of 8, and of 16 the first, third, fifth and seventh: 2^-0.5, 2^-1.5...
  check_near(alibi_slopes(12), {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.70710678,
                                0.35355339, 0.17677670, 0.08838835});
  check_near(alibi_slopes(3), {1.0 / 16, 1.0 / 256, 0.25});
}

TEST_CASE("formulas: rotary frequencies") {
  check_near(doubles(rotary_frequencies(10000, 4)), {1.0, 0.01});
  check_near(doubles(rotary_frequencies(16, 8)), {1.0, 0.5, 0.25, 0.125});
  // (theta factor)^(-2 i / rotary) / factor^(2 / rotary)
  check_near(doubles(ntk_frequencies(10000, 4, 4)), {0.5, 0.0025});
  check_near(doubles(ntk_frequencies(2, 8, 8)), {0.59460356, 0.29730178, 0.14865089, 0.07432544});
  CHECK(ntk_frequencies(500, 1, 64) == rotary_frequencies(500, 64));
}

TEST_CASE("formulas: the rotation that gte's settings ask for") {
  const auto read = [](const std::string& json) {
    const JsonValue root = parse_config(json, "config");
    return doubles(read_rotation_or_ntk(ConfigReader(root, "config"), {10000, 4, 2048}).frequencies);
  };
  check_near(read("{}"), {1.0, 0.01});
  check_near(read(R"({"rope_theta": 100})"), {1.0, 0.1});
  const std::vector<double> scaled = {0.5, 0.0025};
  check_near(read(R"({"rope_theta": 10000, "rope_scaling": {"type": "ntk", "factor": 4}})"), scaled);
  check_near(read(R"({"rope_parameters": {"rope_theta": 10000, "rope_type": "ntk", "factor": 4.0}})"), scaled);
  check_near(read(R"({"rope_scaling": {"type": "linear", "factor": 4}})"), {0.25, 0.0025});
  for (const char* bad :
       {R"({"rope_scaling": {"type": "ntk"}})", R"({"rope_scaling": {"type": "ntk", "factor": 4, "mixed_b": 0.5}})",
        R"({"rope_parameters": {"rope_type": "dynamic"}})"})
    CHECK_THROWS_AS(read(bad), ConfigError);
}
