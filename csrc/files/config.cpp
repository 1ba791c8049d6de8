#include "files/config.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "files/stand_in.h"
#include "files/text.h"

namespace filbert {
namespace {

std::string integer_range(std::int64_t min, std::int64_t max) {
  return "an integer from " + std::to_string(min) + " to " + std::to_string(max);
}

}  // namespace

JsonValue parse_config(std::string_view text, const std::string& source) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos && text.size() <= config_limits::kJson.bytes) {
    throw ConfigError(source + ": line 1, column 1: the file is empty, expected a JSON object");
  }
  if (const std::string found = stand_in(text); !found.empty()) {
    throw ConfigError(source + ": " + found + ", expected a JSON object");
  }
  try {
    JsonValue root = parse_json(text, config_limits::kJson);
    if (root.object() == nullptr) {
      throw ConfigError(source + ": found " + root.describe() + ", expected a JSON object");
    }
    return root;
  } catch (const JsonError& error) {
    throw ConfigError(source + ": " + error.what());
  }
}

ConfigReader::ConfigReader(const JsonValue& root, std::string source)
    : object_(root.object()), source_(std::move(source)) {
  if (object_ == nullptr) fail_with("found " + root.describe() + ", expected a JSON object");
}

const JsonValue* ConfigReader::find(std::string_view field) const {
  const JsonValue* value = object_->find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool ConfigReader::is_null(std::string_view field) const {
  const JsonValue* value = object_->find(field);
  return value != nullptr && value->is_null();
}

void ConfigReader::fail(std::string_view field, std::string_view expected) const {
  const JsonValue* value = object_->find(field);
  if (value == nullptr) fail_missing(field, expected);
  fail_with(path_ + std::string(field) + ": found " + value->describe() + ", expected " + std::string(expected));
}

void ConfigReader::fail_missing(std::string_view field, std::string_view expected) const {
  fail_with(path_ + std::string(field) + ": missing, expected " + std::string(expected));
}

void ConfigReader::fail_with(std::string_view message) const {
  throw ConfigError(source_ + ": " + std::string(message));
}

std::optional<std::int64_t> ConfigReader::integer(std::string_view field, std::int64_t min, std::int64_t max) const {
  const JsonValue* value = find(field);
  if (value == nullptr) return std::nullopt;
  const std::optional<std::int64_t> number = value->int64();
  if (!number || *number < min || *number > max) fail(field, integer_range(min, max));
  return number;
}

std::int64_t ConfigReader::positive_int(std::string_view field, std::int64_t max) const {
  const auto value = integer(field, 1, max);
  if (!value) fail(field, integer_range(1, max));
  return *value;
}

std::int64_t ConfigReader::positive_int(std::string_view field, std::int64_t fallback, std::int64_t max) const {
  return integer(field, 1, max).value_or(fallback);
}

std::int64_t ConfigReader::non_negative_int(std::string_view field, std::int64_t fallback, std::int64_t max) const {
  return integer(field, 0, max).value_or(fallback);
}

std::optional<std::int64_t> ConfigReader::optional_int(std::string_view field, std::int64_t min,
                                                       std::int64_t max) const {
  return integer(field, min, max);
}

double ConfigReader::positive_number(std::string_view field, double fallback) const {
  const JsonValue* value = find(field);
  if (value == nullptr) return fallback;
  const std::optional<double> number = value->number();
  constexpr double kMin = std::numeric_limits<float>::min();
  constexpr double kMax = std::numeric_limits<float>::max();
  if (!number || !(*number >= kMin && *number <= kMax)) fail(field, "a number above 0 that fits in float32");
  return *number;
}

bool ConfigReader::boolean(std::string_view field, bool fallback) const {
  const JsonValue* value = find(field);
  if (value == nullptr) return fallback;
  const std::optional<bool> truth = value->boolean();
  if (!truth) fail(field, "true or false");
  return *truth;
}

std::string ConfigReader::string(std::string_view field) const {
  const JsonValue* value = find(field);
  if (value == nullptr || value->string() == nullptr) fail(field, "a string");
  return *value->string();
}

std::string ConfigReader::string(std::string_view field, std::string_view fallback) const {
  return has(field) ? string(field) : std::string(fallback);
}

std::string ConfigReader::one_of(std::string_view field, std::string_view fallback,
                                 std::initializer_list<std::string_view> allowed) const {
  std::string value = string(field, fallback);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  std::string expected;
  for (const std::string_view choice : allowed) expected += (expected.empty() ? "one of " : ", ") + quote(choice);
  fail(field, expected);
}

std::optional<ConfigReader> ConfigReader::object(std::string_view field) const {
  const JsonValue* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (value->object() == nullptr) fail(field, "an object");
  return ConfigReader(value->object(), source_, path_ + std::string(field) + ".");
}

std::optional<std::vector<std::string>> ConfigReader::strings(std::string_view field) const {
  const JsonValue* value = find(field);
  if (value == nullptr) return std::nullopt;
  if (value->array() == nullptr) fail(field, "an array of strings");
  std::vector<std::string> result;
  for (const JsonValue& item : *value->array()) {
    if (item.string() == nullptr)
      fail_with(path_ + std::string(field) + ": found " + item.describe() + " at " + std::to_string(result.size()) +
                ", expected a string");
    result.push_back(*item.string());
  }
  return result;
}

std::vector<std::int64_t> ConfigReader::indices(std::string_view field, std::int64_t max) const {
  const std::string expected = "an array of integers from 0 to " + std::to_string(max);
  const JsonValue* value = find(field);
  if (value == nullptr) fail_missing(field, expected);
  if (value->array() == nullptr) fail(field, expected);
  std::vector<std::int64_t> result;
  for (const JsonValue& item : *value->array()) {
    const std::optional<std::int64_t> index = item.int64();
    if (!index || *index < 0 || *index > max)
      fail_with(path_ + std::string(field) + ": found " + item.describe() + " at " + std::to_string(result.size()) +
                ", expected an integer from 0 to " + std::to_string(max));
    result.push_back(*index);
  }
  return result;
}

const char* ConfigReader::one_name(const char* first, const char* second) const {
  const JsonValue* const one = find(first);
  const JsonValue* const other = find(second);
  if (one != nullptr && other != nullptr && one->describe() != other->describe())
    fail(second, "what " + std::string(first) + " says: " + one->describe());
  return one == nullptr && other != nullptr ? second : first;
}

void ConfigReader::require_divisible(std::string_view dividend_field, std::int64_t dividend,
                                     std::string_view divisor_field, std::int64_t divisor) const {
  if (divisor > 0 && dividend % divisor == 0) return;
  fail_with(path_ + std::string(dividend_field) + ": found " + std::to_string(dividend) + ", expected a multiple of " +
            std::string(divisor_field) + " (" + std::to_string(divisor) + ")");
}

}  // namespace filbert
