#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "files/json.h"
#include "make_safetensors.h"

using namespace filbert;
using filbert::testing::contains;
using filbert::testing::message_of;

namespace {

std::string error_of(std::string_view text, const JsonOptions& options = {}) {
  return message_of<JsonError>([&] { parse_json(text, options); });
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  out.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("json: values and their kinds") {
  const JsonValue root = parse_json(R"( {"a": [1, -2, 0.5, 1e3], "b": {"c": null, "d": true}, "e": "x"} )");
  REQUIRE(root.object() != nullptr);
  const JsonValue::Array& a = *root.object()->find("a")->array();
  REQUIRE(a.size() == 4);
  CHECK(a[0].int64() == 1);
  CHECK(a[1].int64() == -2);
  CHECK(a[1].uint64() == std::nullopt);
  CHECK(a[2].number() == 0.5);
  CHECK(a[2].int64() == std::nullopt);
  CHECK(a[3].number() == 1000.0);
  CHECK(a[3].int64() == std::nullopt);  // an exponent makes it a double, as in Python
  const JsonObject& b = *root.object()->find("b")->object();
  CHECK(b.find("c")->is_null());
  CHECK(b.find("d")->boolean() == true);
  CHECK(b.find("missing") == nullptr);
  CHECK(*root.object()->find("e")->string() == "x");
}

TEST_CASE("json: objects keep their order and find every key") {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i)
    text += (i ? ",\"" : "\"") + std::to_string((i * 7919) % 1000) + "\":" + std::to_string(i);
  const JsonValue root = parse_json(text + "}");
  const auto& members = root.object()->members();
  REQUIRE(members.size() == 1000);
  for (int i = 0; i < 1000; ++i) {
    const auto position = static_cast<std::size_t>(i);
    CHECK(members[position].first == std::to_string((i * 7919) % 1000));
    CHECK(root.object()->find(members[position].first)->int64() == i);
  }
}

TEST_CASE("json: integers stay exact up to the ranges of int64 and uint64") {
  CHECK(parse_json("9223372036854775807").int64() == std::numeric_limits<std::int64_t>::max());
  CHECK(parse_json("-9223372036854775808").int64() == std::numeric_limits<std::int64_t>::min());
  CHECK(parse_json("9223372036854775808").int64() == std::nullopt);
  CHECK(parse_json("9223372036854775808").uint64() == std::uint64_t{1} << 63);
  CHECK(parse_json("18446744073709551615").uint64() == std::numeric_limits<std::uint64_t>::max());
  CHECK(parse_json("18446744073709551616").uint64() == std::nullopt);
  CHECK(parse_json("18446744073709551616").number() == 18446744073709551616.0);
  CHECK(parse_json("-9223372036854775809").int64() == std::nullopt);
  CHECK(parse_json("-0").int64() == 0);
  CHECK(parse_json("1e-12").number() == 1e-12);
  CHECK(std::signbit(*parse_json("-0.0").number()));
}

TEST_CASE("json: strings and escapes") {
  CHECK(*parse_json(R"("\"\\\/\b\f\n\r\t")").string() == "\"\\/\b\f\n\r\t");
  CHECK(*parse_json(R"("\u0041\u00e9\u20AC\ud83d\ude00")").string() == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(*parse_json(R"("a\u0000b")").string() == std::string("a\0b", 3));
  CHECK(*parse_json("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"").string() ==
        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
}

TEST_CASE("json: what is not JSON is refused") {
  const char* const kBad[] = {
      "",         " ",         "{",         "}",           "[",
      "]",        "[1,]",      "[,1]",      "[1 2]",       "{\"a\":1,}",
      "{\"a\"}",  "{\"a\":}",  "{a:1}",     "{'a':1}",     "{\"a\":1 \"b\":2}",
      "{,}",      "{1:2}",     "[1}",       "{\"a\":1]",   "nul",
      "nulL",     "True",      "tru",       "falsey",      "NaN",
      "Infinity", "-Infinity", "[NaN]",     "01",          "-01",
      "-",        "+1",        ".5",        "5.",          "1.e3",
      "1e",       "1e+",       "0x10",      "1_000",       "1 2",
      "[1]x",     "// c\n1",   "/* c */1",  "[1] # c",     "\"",
      "\"\\\"",   "\"\\x\"",   "\"\\u12\"", "\"\\u12g4\"", "\"\t\"",
      "\"\n\"",   "\"a\\",     "1e400",     "-1e400",      "\xef\xbb\xbf{}",
      "\xff",     "\v1",       "[1]\f",     "'a'",         "undefined",
  };
  for (const char* text : kBad) {
    CAPTURE(text);
    CHECK(error_of(text) != "");
  }
  CHECK(error_of(std::string_view("\0", 1)) != "");
  CHECK(error_of(std::string_view("[1]\0", 4)) != "");
  CHECK(error_of(std::string_view("\"a\0b\"", 5)) != "");
}

TEST_CASE("json: UTF-8 and surrogates are checked") {
  const char* const kBad[] = {
      "\"\x80\"",
      "\"\xc0\xaf\"",
      "\"\xc1\xbf\"",
      "\"\xc3\"",
      "\"\xc3(\"",
      "\"\xe0\x9f\xbf\"",
      "\"\xe2\x82\"",
      "\"\xed\xa0\x80\"",
      "\"\xed\xbf\xbf\"",
      "\"\xf0\x8f\xbf\xbf\"",
      "\"\xf4\x90\x80\x80\"",
      "\"\xf5\x80\x80\x80\"",
      "\"\xf0\x9f\x98\"",
      "\"\xff\"",
      R"("\ud800")",
      R"("\udc00")",
      R"("\ud800x")",
      R"("\ud800\n")",
      R"("\ud800\ud800")",
      R"("\ud800\u0041")",
      R"("\ud83d\ude0")",
  };
  for (const char* text : kBad) {
    CAPTURE(text);
    CHECK(error_of(text) != "");
  }
}

TEST_CASE("json: what Python writes beyond JSON is taken where asked, and only there") {
  const JsonOptions python = {.python = true};
  const auto number = [&](std::string_view text) { return parse_json(text, python).number().value(); };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CHECK(std::isnan(number("NaN")));
  const std::pair<const char*, double> kNumbers[] = {
      {"Infinity", kInfinity},
      {"-Infinity", -kInfinity},
      {"1e400", kInfinity},
      {"-1.5E+400", -kInfinity},
      {"1e99999999999999999999", kInfinity},
      {"0.001e400", kInfinity},
      {"1e-400", 0.0},
      {"1e-99999999999999999999", 0.0},
      {"100e-400", 0.0},
      {"0e400", 0.0},
      {"0.0e99999999999999999999", 0.0},
      {"-0e-99999999999999999999", 0.0},
      {"5e-324", std::numeric_limits<double>::denorm_min()},
      {"-1", -1.0},
  };
  for (const auto& [text, value] : kNumbers) {
    CAPTURE(text);
    CHECK(number(text) == value);
  }
  CHECK(std::signbit(number("-1e-400")));
  CHECK(number(std::string(400, '9')) == kInfinity);
  CHECK(number("-" + std::string(400, '9')) == -kInfinity);
  CHECK(number("1" + std::string(400, '0') + "e-400") == 1.0);
  CHECK(number("0." + std::string(400, '0') + "1") == 0.0);
  CHECK(parse_json(R"({"a":[NaN,{"b":-Infinity}],"c":1})", python).object()->find("c")->int64() == 1);
  // Half a pair keeps its place, and stays another text than any that can be written otherwise.
  const std::pair<const char*, const char*> kStrings[] = {
      {R"("\ud800")", "\xed\xa0\x80"},
      {R"("\udfffx")", "\xed\xbf\xbfx"},
      {R"("\ud800\ud800")", "\xed\xa0\x80\xed\xa0\x80"},
      {R"("\ud800\u0041")",
       "\xed\xa0\x80"
       "A"},
      {R"("\ud800\n")", "\xed\xa0\x80\n"},
      {R"("\ud83d\ude00")", "\xf0\x9f\x98\x80"},
  };
  for (const auto& [text, value] : kStrings) {
    CAPTURE(text);
    CHECK(*parse_json(text, python).string() == value);
  }
  const char* const kBad[] = {
      "nan",
      "NAN",
      "NaNs",
      "Na",
      "+Infinity",
      "-NaN",
      "inf",
      "Infinit",
      "-Infinit",
      "-I",
      "{NaN:1}",
      "[1e400,]",
      "\"\\ud80\"",
      "True",
      "{\"a\":1,\"a\":NaN}",
      "\"\xed\xa0\x80\"",
      R"({"\ud800":1,"\ud800":2})",
      R"("\ud800\u00")",
  };
  for (const char* text : kBad) {
    CAPTURE(text);
    CHECK(error_of(text, python) != "");
  }
}

TEST_CASE("json: a repeated key is refused at any level, its second place named") {
  const std::string flat = error_of("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}");
  CHECK(contains(flat, "line 3, column 2: the key \"a\" is repeated"));
  CHECK(contains(error_of(R"([{"x": {"y": [{"a":1,"a":1}]}}])"), "repeated"));
  CHECK(contains(error_of(R"({"a":1,"\u0061":2})"), "repeated"));  // the same key in another spelling
  CHECK(contains(error_of(R"({"":1,"":2})"), "repeated"));
}

TEST_CASE("json: errors carry line and column") {
  try {
    parse_json("{\n  \"a\": 1,\n  \"b\": x\n}");
    FAIL("accepted");
  } catch (const JsonError& error) {
    CHECK(error.line() == 3);
    CHECK(error.column() == 8);
    CHECK(contains(error.what(), "line 3, column 8: expected a value, found \"x\""));
  }
  CHECK(contains(error_of(""), "line 1, column 1"));
}

TEST_CASE("json: depth, size and number of values are limited") {
  CHECK(error_of(repeat("[", 64) + repeat("]", 64)) == "");
  CHECK(contains(error_of(repeat("[", 65) + repeat("]", 65)), "nested deeper than the limit of 64"));
  CHECK(contains(error_of(repeat("[", 100'000)), "nested deeper"));
  CHECK(contains(error_of(repeat("{\"a\":", 100'000)), "nested deeper"));
  CHECK(contains(error_of("[1, 2]", {.bytes = 5}), "6 bytes of JSON, over the limit of 5"));
  CHECK(error_of("[1, 2]", {.values = 3}) == "");
  CHECK(contains(error_of("[1, 2]", {.values = 2}), "more values"));
  // Siblings do not add up to depth.
  CHECK(error_of("[" + repeat("[[]],", 1000) + "[]]") == "");
}

TEST_CASE("json: every prefix and every single-byte change of a document is taken or refused, never worse") {
  const std::string text = R"({"a":[1,-2.5e3,"\u00e9\ud83d\ude00x"],"b":{"c":null,"d":[true,false]},"é":""})";
  REQUIRE(error_of(text) == "");
  for (std::size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size);
    // A copy of its own, so that AddressSanitizer sees a read past its end.
    const std::vector<char> prefix(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(error_of(std::string_view(prefix.data(), prefix.size())) != "");
  }
  for (std::size_t position = 0; position < text.size(); ++position) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[position] = static_cast<char>(byte);
      error_of(changed);
    }
  }
}

TEST_CASE("json: values describe themselves") {
  CHECK(parse_json("-3").describe() == "-3 (integer)");
  CHECK(parse_json("18446744073709551615").describe() == "18446744073709551615 (integer)");
  CHECK(parse_json("0.5").describe() == "0.5 (number)");
  CHECK(parse_json("\"a\\n\"").describe() == "\"a\\x0a\" (string)");
  CHECK(parse_json("true").describe() == "true (boolean)");
  CHECK(parse_json("null").describe() == "null");
  CHECK(parse_json("[]").describe() == "an array");
  CHECK(parse_json("{}").describe() == "an object");
  CHECK(parse_json("\"" + std::string(10'000, 'x') + "\"").describe().size() < 300);
}
