// Typed, checked access to the fields of a config.json. Knows no model.
#pragma once

#include <filbert/error.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "files/json.h"

namespace filbert {

// Upper limits of what a configuration may ask for: far above any model, low enough that no product of three
// dimensions overflows 64 bits.
namespace config_limits {
inline constexpr std::int64_t kHiddenSize = std::int64_t{1} << 20;
inline constexpr std::int64_t kIntermediateSize = std::int64_t{1} << 22;
inline constexpr std::int64_t kExperts = std::int64_t{1} << 12;
inline constexpr std::int64_t kLayers = std::int64_t{1} << 12;
inline constexpr std::int64_t kHeads = std::int64_t{1} << 16;
inline constexpr std::int64_t kVocabulary = (std::int64_t{1} << 31) - 1;  // token ids are 32-bit
inline constexpr std::int64_t kPositions = std::int64_t{1} << 24;
inline constexpr std::int64_t kTokenTypes = std::int64_t{1} << 20;
inline constexpr std::int64_t kLabels = std::int64_t{1} << 20;
inline constexpr JsonOptions kJson = {.python = true};  // transformers reads and writes these files with it
}  // namespace config_limits

// The text of a config.json; the result is an object. Throws ConfigError with `source`, line and column.
JsonValue parse_config(std::string_view text, const std::string& source);

// A view of a parsed object, which must outlive it. Null counts as absent. Every getter throws ConfigError naming
// source, field, what was found (value and type) and what was expected; those without a fallback need the field.
class ConfigReader {
 public:
  ConfigReader(const JsonValue& root, std::string source);

  const std::string& source() const { return source_; }
  const JsonValue* find(std::string_view field) const;  // nullptr if absent or null
  bool is_null(std::string_view field) const;           // there, and null
  bool has(std::string_view field) const { return find(field) != nullptr; }

  std::int64_t positive_int(std::string_view field, std::int64_t max) const;
  std::int64_t positive_int(std::string_view field, std::int64_t fallback, std::int64_t max) const;
  std::int64_t non_negative_int(std::string_view field, std::int64_t fallback, std::int64_t max) const;
  std::optional<std::int64_t> optional_int(std::string_view field, std::int64_t min, std::int64_t max) const;

  // Above 0, and neither 0, subnormal nor infinite as a float.
  double positive_number(std::string_view field, double fallback) const;

  bool boolean(std::string_view field, bool fallback) const;

  std::string string(std::string_view field) const;
  std::string string(std::string_view field, std::string_view fallback) const;
  std::string one_of(std::string_view field, std::string_view fallback,
                     std::initializer_list<std::string_view> allowed) const;

  // An object inside, or nullopt; what is wrong in it is named by its path ("rope_parameters.rope_theta").
  std::optional<ConfigReader> object(std::string_view field) const;
  std::optional<std::vector<std::string>> strings(std::string_view field) const;
  // A list of integers from 0 to `max`; the field must be there.
  std::vector<std::int64_t> indices(std::string_view field, std::int64_t max) const;

  // Which of two names of one setting is there; the first one if neither is. Throws if they contradict each other.
  const char* one_name(const char* first, const char* second) const;

  // Throws unless `dividend` is a multiple of `divisor` (both already read from the fields named).
  void require_divisible(std::string_view dividend_field, std::int64_t dividend, std::string_view divisor_field,
                         std::int64_t divisor) const;

  // "SOURCE: FIELD: found 3.5 (number), expected EXPECTED"
  [[noreturn]] void fail(std::string_view field, std::string_view expected) const;
  // "SOURCE: MESSAGE"
  [[noreturn]] void fail_with(std::string_view message) const;

 private:
  ConfigReader(const JsonObject* object, std::string source, std::string path)
      : object_(object), source_(std::move(source)), path_(std::move(path)) {}

  std::optional<std::int64_t> integer(std::string_view field, std::int64_t min, std::int64_t max) const;
  [[noreturn]] void fail_missing(std::string_view field, std::string_view expected) const;

  const JsonObject* object_;
  std::string source_;
  std::string path_;  // of the object, with a dot after it; "" of the outermost
};

}  // namespace filbert
