// A strict pull parser for JSON (RFC 8259): no comments, no trailing commas, no NaN, no byte order mark, valid UTF-8,
// no unpaired surrogates; or, where asked, what Python's json module writes beyond that. It allocates nothing beyond
// the strings it returns, so that 100 MB headers stay cheap; json.h builds a tree over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

namespace filbert {

// Callers turn it into ConfigError or WeightsError with the path in front. what() begins "line L, column C: ".
class JsonError : public std::runtime_error {
 public:
  JsonError(std::string_view message, std::size_t line, std::size_t column);
  std::size_t line() const noexcept { return line_; }      // from 1
  std::size_t column() const noexcept { return column_; }  // from 1, in bytes

 private:
  std::size_t line_;
  std::size_t column_;
};

enum class JsonKind { null, boolean, number, string, array, object };

const char* kind_name(JsonKind kind);  // "null", "a boolean", ...

// Integers stay exact. uint64_t is used only above the range of int64_t; integers beyond both become double.
using JsonNumber = std::variant<std::int64_t, std::uint64_t, double>;

struct JsonOptions {
  std::size_t bytes = std::size_t{64} << 20;
  std::size_t depth = 64;
  std::size_t values = std::size_t{1} << 20;  // of a tree (json.h): what bounds its memory
  // Takes what Python's json module writes and reads: NaN, Infinity and -Infinity; numbers beyond a double, which
  // become infinite or zero; unpaired surrogates, which become three bytes each, as UTF-8 would encode them if it
  // could.
  bool python = false;
};

// Every read_ and begin_ takes the next value and throws JsonError if it is of another kind or malformed.
class JsonReader {
 public:
  JsonReader(std::string_view text, const JsonOptions& options);

  JsonKind peek();

  void read_null();
  bool read_boolean();
  JsonNumber read_number();
  void read_string(std::string& out);

  // begin_object(); while (next_key(key)) { read one value }
  void begin_object();
  bool next_key(std::string& key);
  // begin_array(); while (next_element()) { read one value }
  void begin_array();
  bool next_element();

  // Throws unless only whitespace is left.
  void finish();

  std::size_t offset() const { return position_; }
  std::size_t key_offset() const { return key_offset_; }  // of the last key read
  [[noreturn]] void fail(std::string_view message, std::size_t offset) const;

 private:
  void skip_space();
  void expect_kind(JsonKind expected);
  void read_word(std::string_view word);
  void enter();
  bool next_member(char close);
  void read_escape(std::string& out);
  std::uint32_t read_hex4();
  void check_utf8();
  bool read_python_number(double& value);
  JsonNumber convert_number(std::string_view token, bool integer) const;

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t key_offset_ = 0;
  std::size_t depth_ = 0;
  std::size_t depth_limit_;
  bool python_;
  bool first_ = false;  // just after an opening bracket
};

}  // namespace filbert
