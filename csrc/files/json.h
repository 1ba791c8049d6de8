// A JSON document as a tree. Objects keep their order; a repeated key, at any level, is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "files/json_reader.h"

namespace filbert {

class JsonValue;
using JsonMember = std::pair<std::string, JsonValue>;

class JsonObject {
 public:
  const std::vector<JsonMember>& members() const { return members_; }  // in the order of the text
  const JsonValue* find(std::string_view key) const;                   // logarithmic

 private:
  friend class JsonTreeBuilder;
  std::vector<JsonMember> members_;
  std::vector<std::uint32_t> sorted_;  // positions in members_, by key
};

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;

  JsonValue() = default;
  template <typename T>
  explicit JsonValue(T value) : value_(std::move(value)) {}

  JsonKind kind() const;
  bool is_null() const { return kind() == JsonKind::null; }

  // Null, or nullopt, if the value is of another kind or does not fit. A number with a point or an exponent in the text
  // is no integer.
  std::optional<bool> boolean() const;
  std::optional<std::int64_t> int64() const;
  std::optional<std::uint64_t> uint64() const;
  std::optional<double> number() const;  // of any number
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const JsonObject* object() const { return std::get_if<JsonObject>(&value_); }

  // For messages: "-3 (integer)", "0.5 (number)", "\"abc\" (string)", "true (boolean)", "null", "an array".
  std::string describe() const;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, JsonObject> value_;
};

// Throws JsonError.
JsonValue parse_json(std::string_view text, const JsonOptions& options = {});

}  // namespace filbert
