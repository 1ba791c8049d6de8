#include <doctest/doctest.h>
#include <filbert/config.h>
#include <filbert/error.h>

#include <optional>
#include <string>
#include <vector>

#include "files/config.h"
#include "make_safetensors.h"

using namespace filbert;
using filbert::testing::contains;
using filbert::testing::message_of;

namespace {

// The ConfigError of reading from `text`.
template <typename Read>
std::string error_of(std::string_view text, Read&& read) {
  const JsonValue root = parse_config(text, "m/config.json");
  const ConfigReader reader(root, "m/config.json");
  return message_of<ConfigError>([&] { read(reader); });
}

std::string parse_error(std::string_view text) {
  return message_of<ConfigError>([&] { parse_config(text, "m/config.json"); });
}

std::string hidden_size_error(const std::string& value) {
  return error_of("{\"hidden_size\": " + value + "}",
                  [](const ConfigReader& c) { c.positive_int("hidden_size", 768, config_limits::kHiddenSize); });
}

}  // namespace

TEST_CASE("config: typed fields and their fallbacks") {
  const JsonValue root =
      parse_config(R"({"n": 12, "zero": 0, "eps": 1e-12, "one": 1, "flag": false, "act": "gelu", "gone": null})", "c");
  const ConfigReader c(root, "c");
  CHECK(c.positive_int("n", 100) == 12);
  CHECK(c.positive_int("n", 5, 100) == 12);
  CHECK(c.positive_int("absent", 5, 100) == 5);
  CHECK(c.positive_int("gone", 5, 100) == 5);
  CHECK(c.non_negative_int("zero", 7, 100) == 0);
  CHECK(c.optional_int("zero", 0, 10) == 0);
  CHECK(c.optional_int("gone", 0, 10) == std::nullopt);
  CHECK(c.positive_number("eps", 1.0) == 1e-12);
  CHECK(c.positive_number("one", 2.0) == 1.0);
  CHECK(c.boolean("flag", true) == false);
  CHECK(c.boolean("absent", true) == true);
  CHECK(c.string("act") == "gelu");
  CHECK(c.string("gone", "relu") == "relu");
  CHECK(c.one_of("act", "relu", {"relu", "gelu"}) == "gelu");
  CHECK(c.has("zero"));
  CHECK_FALSE(c.has("gone"));
}

TEST_CASE("config: empty or not JSON: path, line, column") {
  CHECK(contains(parse_error(""), "m/config.json: line 1, column 1: the file is empty"));
  CHECK(contains(parse_error(" \n"), "the file is empty"));
  CHECK(contains(parse_error("hello"), "m/config.json: line 1, column 1: expected a value"));
  CHECK(contains(parse_error("{\n\"a\": 1,\n}"), "m/config.json: line 3, column 1: expected a key"));
  CHECK(contains(parse_error("[1]"), "found an array, expected a JSON object"));
  CHECK(contains(parse_error("3"), "found 3 (integer), expected a JSON object"));
  CHECK(contains(parse_error(R"({"a":1,"a":2})"), "repeated"));
}

TEST_CASE("config: dimensions out of range or of another type") {
  const char* const kExpected = "expected an integer from 1 to 1048576";
  const std::pair<const char*, const char*> kBad[] = {
      {"2147483648", "found 2147483648 (integer)"},
      {"9223372036854775808", "found 9223372036854775808 (integer)"},
      {"1e30", "found 1e+30 (number)"},
      {"1048577", "found 1048577 (integer)"},
      {"-1", "found -1 (integer)"},
      {"0", "found 0 (integer)"},
      {"768.0", "found 768 (number)"},
      {"\"768\"", "found \"768\" (string)"},
      {"true", "found true (boolean)"},
      {"[768]", "found an array"},
      {"{}", "found an object"},
  };
  for (const auto& [value, found] : kBad) {
    const std::string message = hidden_size_error(value);
    CAPTURE(message);
    CHECK(contains(message, std::string("m/config.json: hidden_size: ") + found + ", " + kExpected));
  }
  CHECK(hidden_size_error("1048576") == "");
  CHECK(hidden_size_error("null") == "");
  CHECK(contains(error_of("{}", [](const ConfigReader& c) { c.positive_int("hidden_size", 10); }),
                 "m/config.json: hidden_size: missing, expected an integer from 1 to 10"));
  CHECK(contains(error_of(R"({"hidden_size":null})", [](const ConfigReader& c) { c.positive_int("hidden_size", 10); }),
                 "hidden_size: found null, expected an integer"));
}

TEST_CASE("config: both values of a failed division") {
  const auto check = [](std::int64_t size, std::int64_t heads) {
    return error_of(
        "{}", [&](const ConfigReader& c) { c.require_divisible("hidden_size", size, "num_attention_heads", heads); });
  };
  CHECK(check(768, 12) == "");
  CHECK(check(768, 13) == "m/config.json: hidden_size: found 768, expected a multiple of num_attention_heads (13)");
  CHECK(check(768, 0) != "");
}

TEST_CASE("config: a choice is never replaced by a default") {
  const std::string message = error_of(R"({"hidden_act": "gelu_fancy"})",
                                       [](const ConfigReader& c) { c.one_of("hidden_act", "gelu", {"gelu", "relu"}); });
  CHECK(message == "m/config.json: hidden_act: found \"gelu_fancy\" (string), expected one of \"gelu\", \"relu\"");
  CHECK(error_of(R"({"hidden_act": 3})", [](const ConfigReader& c) { c.one_of("hidden_act", "gelu", {"gelu"}); }) !=
        "");
}

TEST_CASE("config: eps") {
  const auto check = [](const char* value) {
    return error_of(std::string("{\"layer_norm_eps\": ") + value + "}",
                    [](const ConfigReader& c) { c.positive_number("layer_norm_eps", 1e-12); });
  };
  CHECK(check("1e-5") == "");
  CHECK(check("1") == "");
  for (const char* bad : {"0", "0.0", "-0.0", "-1e-5", "1e-46", "1e39", "\"1e-5\"", "true", "[]"}) {
    CAPTURE(bad);
    CHECK(contains(check(bad), "layer_norm_eps: found"));
  }
  for (const char* bad : {"NaN", "Infinity", "-Infinity", "1e999", "1e-999"}) {
    CAPTURE(bad);
    CHECK(contains(check(bad), "m/config.json: layer_norm_eps: found"));
  }
}

TEST_CASE("config: what Python writes beyond JSON harms only the fields that are asked for") {
  const std::string text =
      R"({"a": NaN, "b": [Infinity, -1e999], "\ud800": "\udc00", "n": NaN, "s": "x\udc00", "k": 3})";
  CHECK(error_of(text, [](const ConfigReader& c) { CHECK(c.positive_int("k", 10) == 3); }) == "");
  CHECK(contains(error_of(text, [](const ConfigReader& c) { c.positive_int("n", 10); }), "n: found nan (number)"));
  CHECK(contains(error_of(text, [](const ConfigReader& c) { c.boolean("n", true); }), "n: found nan (number)"));
  CHECK(contains(error_of(text, [](const ConfigReader& c) { c.string("n"); }), "n: found nan (number)"));
  CHECK(contains(error_of(text, [](const ConfigReader& c) { c.one_of("s", "x", {"x"}); }), "s: found \"x\\xed"));
}

TEST_CASE("config: objects inside, whose fields are named by their path") {
  const std::string text = R"({"rope": {"near": {"theta": "x", "n": 3}, "far": null}, "kinds": ["a", "b"], "k": [1]})";
  const auto near = [](const ConfigReader& c) { return *c.object("rope")->object("near"); };
  CHECK(error_of(text, [&](const ConfigReader& c) {
          CHECK(near(c).positive_int("n", 10) == 3);
          CHECK_FALSE(c.object("rope")->object("far"));
          CHECK_FALSE(c.object("gone"));
          CHECK(c.strings("kinds") == std::vector<std::string>{"a", "b"});
          CHECK(c.strings("gone") == std::nullopt);
        }) == "");
  CHECK(error_of(text, [&](const ConfigReader& c) { near(c).positive_number("theta", 1); }) ==
        "m/config.json: rope.near.theta: found \"x\" (string), expected a number above 0 that fits in float32");
  CHECK(error_of(text, [&](const ConfigReader& c) { near(c).string("name"); }) ==
        "m/config.json: rope.near.name: missing, expected a string");
  CHECK(error_of(text, [](const ConfigReader& c) { c.object("k"); }) ==
        "m/config.json: k: found an array, expected an object");
  CHECK(error_of(text, [](const ConfigReader& c) { c.strings("k"); }) ==
        "m/config.json: k: found 1 (integer) at 0, expected a string");
  CHECK(error_of(text, [](const ConfigReader& c) { c.strings("rope"); }) ==
        "m/config.json: rope: found an object, expected an array of strings");
}

TEST_CASE("config: model_type may be known from elsewhere") {
  const auto error = [](const std::string& text, const std::string& model_type) {
    return message_of<ConfigError>([&] { validate_config(text, "m/config.json", model_type); });
  };
  for (const char* text : {"{}", R"({"model_type": null})", R"({"hidden_size": 32, "num_attention_heads": 4})"}) {
    CAPTURE(text);
    CHECK(error(text, "bert") == "");
    CHECK(contains(error(text, ""), "m/config.json: model_type is missing; expected one of: albert, bert, "));
    CHECK(contains(error(text, "gpt2"), "model_type"));
  }
  // The file wins.
  CHECK(contains(error(R"({"model_type": "gpt2"})", "bert"), "model_type: found \"gpt2\""));
  CHECK(contains(error(R"({"model_type": 3})", "bert"), "model_type: found 3 (integer)"));
  CHECK(contains(error(R"({"hidden_size": 0})", "bert"), "hidden_size: found 0"));
}

TEST_CASE("config: what stands in the place of a file is named") {
  CHECK(contains(parse_error("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
                 "m/config.json: found a pointer of Git LFS"));
  CHECK(contains(parse_error("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"));
  for (const char* page : {"<!DOCTYPE html><html>", "\r\n <!doctype HTML>", "<HTML lang=en>", "<html>\n"}) {
    CAPTURE(page);
    CHECK(contains(parse_error(page), "m/config.json: found an HTML page"));
  }
  for (const char* other : {"version", "<", "<!", "<h1>", "html", "versionhttps://git-lfs.github.com/spec/v1"}) {
    CAPTURE(other);
    CHECK(contains(parse_error(other), "m/config.json: line 1, column 1: expected a value"));
  }
}

TEST_CASE("config: booleans and strings of another type") {
  CHECK(contains(error_of(R"({"b": 1})", [](const ConfigReader& c) { c.boolean("b", true); }),
                 "b: found 1 (integer), expected true or false"));
  CHECK(contains(error_of(R"({"s": 1})", [](const ConfigReader& c) { c.string("s"); }), "expected a string"));
  CHECK(contains(error_of("{}", [](const ConfigReader& c) { c.string("s"); }), "s: missing, expected a string"));
}

TEST_CASE("config: depth and size") {
  CHECK(contains(parse_error(std::string(100'000, '[')), "nested deeper than the limit of 64"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(contains(parse_error(objects), "nested deeper than the limit of 64"));
  // Nothing is read beyond the size: a 65 MB text is refused as a 1 GB one would be.
  CHECK(contains(parse_error(std::string((std::size_t{64} << 20) + 1, ' ')), "over the limit of 67108864"));
}
