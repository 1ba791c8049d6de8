#include "files/json_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

#include "files/text.h"

namespace filbert {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// Whether a number that does not fit in a double is too small for it, not too large: by the power of ten of its first
// digit that is not 0.
bool is_tiny(std::string_view token) {
  const std::size_t e = std::min(token.find_first_of("eE"), token.size());
  const std::string_view digits = token.substr(0, e);
  const std::size_t first = digits.find_first_of("123456789");
  if (first == std::string_view::npos) return true;
  std::int64_t exponent = 0;
  if (e < token.size()) {
    std::string_view power = token.substr(e + 1);
    if (power.front() == '+') power.remove_prefix(1);
    if (std::from_chars(power.data(), power.data() + power.size(), exponent).ec != std::errc()) {
      return power.front() == '-';
    }
  }
  const std::size_t point = std::min(digits.find('.'), digits.size());
  return exponent < static_cast<std::int64_t>(first) - static_cast<std::int64_t>(point);
}

}  // namespace

JsonError::JsonError(std::string_view message, std::size_t line, std::size_t column)
    : std::runtime_error("line " + std::to_string(line) + ", column " + std::to_string(column) + ": " +
                         std::string(message)),
      line_(line),
      column_(column) {}

const char* kind_name(JsonKind kind) {
  switch (kind) {
    case JsonKind::null:
      return "null";
    case JsonKind::boolean:
      return "a boolean";
    case JsonKind::number:
      return "a number";
    case JsonKind::string:
      return "a string";
    case JsonKind::array:
      return "an array";
    case JsonKind::object:
      return "an object";
  }
  return "a value";
}

JsonReader::JsonReader(std::string_view text, const JsonOptions& options)
    : text_(text), depth_limit_(options.depth), python_(options.python) {
  if (text.size() > options.bytes) {
    fail(std::to_string(text.size()) + " bytes of JSON, over the limit of " + std::to_string(options.bytes), 0);
  }
  if (text.starts_with("\xef\xbb\xbf")) fail("JSON must not begin with a byte order mark", 0);
}

void JsonReader::fail(std::string_view message, std::size_t offset) const {
  const std::string_view before = text_.substr(0, offset);
  const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  throw JsonError(message, line, column);
}

void JsonReader::skip_space() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++position_;
  }
}

JsonKind JsonReader::peek() {
  skip_space();
  if (position_ == text_.size()) fail("expected a value, found the end of the text", position_);
  const char c = text_[position_];
  switch (c) {
    case '{':
      return JsonKind::object;
    case '[':
      return JsonKind::array;
    case '"':
      return JsonKind::string;
    case 't':
    case 'f':
      return JsonKind::boolean;
    case 'n':
      return JsonKind::null;
    default:
      break;
  }
  if (c == '-' || is_digit(c) || (python_ && (c == 'N' || c == 'I'))) return JsonKind::number;
  fail("expected a value, found " + quote(text_.substr(position_, 1)), position_);
}

void JsonReader::expect_kind(JsonKind expected) {
  const JsonKind found = peek();
  if (found != expected) {
    fail(std::string("expected ") + kind_name(expected) + ", found " + kind_name(found), position_);
  }
}

void JsonReader::read_word(std::string_view word) {
  if (text_.substr(position_, word.size()) != word) fail("expected " + std::string(word), position_);
  position_ += word.size();
}

void JsonReader::read_null() {
  expect_kind(JsonKind::null);
  read_word("null");
}

bool JsonReader::read_boolean() {
  expect_kind(JsonKind::boolean);
  const bool value = text_[position_] == 't';
  read_word(value ? "true" : "false");
  return value;
}

JsonNumber JsonReader::read_number() {
  expect_kind(JsonKind::number);
  if (double value = 0; read_python_number(value)) return value;
  const std::size_t begin = position_;
  std::size_t end = begin;
  const auto at = [&](char c) { return end < text_.size() && text_[end] == c; };
  const auto digits = [&] {
    if (end == text_.size() || !is_digit(text_[end])) fail("expected a digit", end);
    while (end < text_.size() && is_digit(text_[end])) ++end;
  };
  bool integer = true;
  if (at('-')) ++end;
  if (at('0')) {
    ++end;
    if (end < text_.size() && is_digit(text_[end])) fail("a number must not begin with 0", begin);
  } else {
    digits();
  }
  if (at('.')) {
    integer = false;
    ++end;
    digits();
  }
  if (at('e') || at('E')) {
    integer = false;
    ++end;
    if (at('+') || at('-')) ++end;
    digits();
  }
  const JsonNumber number = convert_number(text_.substr(begin, end - begin), integer);
  position_ = end;
  return number;
}

bool JsonReader::read_python_number(double& value) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr std::pair<std::string_view, double> kWords[] = {
      {"NaN", std::numeric_limits<double>::quiet_NaN()}, {"Infinity", kInfinity}, {"-Infinity", -kInfinity}};
  if (!python_) return false;
  for (const auto& [word, meaning] : kWords) {
    if (!text_.substr(position_).starts_with(word)) continue;
    position_ += word.size();
    value = meaning;
    return true;
  }
  return false;
}

JsonNumber JsonReader::convert_number(std::string_view token, bool integer) const {
  const char* const begin = token.data();
  const char* const end = begin + token.size();
  if (integer) {
    std::int64_t small = 0;
    if (std::from_chars(begin, end, small).ec == std::errc()) return small;
    std::uint64_t large = 0;
    if (token.front() != '-' && std::from_chars(begin, end, large).ec == std::errc()) return large;
  }
  double real = 0;
  if (std::from_chars(begin, end, real).ec != std::errc()) {
    if (!python_) fail("the number does not fit in a double", position_);
    real = is_tiny(token) ? 0 : std::numeric_limits<double>::infinity();
    if (token.front() == '-') real = -real;
  }
  return real;
}

void JsonReader::read_string(std::string& out) {
  expect_kind(JsonKind::string);
  const std::size_t opening = position_++;
  out.clear();
  std::size_t copied = position_;
  while (position_ < text_.size()) {
    const auto byte = static_cast<unsigned char>(text_[position_]);
    if (byte == '"') {
      out.append(text_, copied, position_ - copied);
      ++position_;
      return;
    }
    if (byte == '\\') {
      out.append(text_, copied, position_ - copied);
      read_escape(out);
      copied = position_;
    } else if (byte < 0x20) {
      fail("a control character in a string must be escaped", position_);
    } else if (byte < 0x80) {
      ++position_;
    } else {
      check_utf8();
    }
  }
  fail("the string that begins here has no end", opening);
}

void JsonReader::read_escape(std::string& out) {
  const std::size_t begin = position_++;
  if (position_ == text_.size()) fail("the text ends in an escape", begin);
  switch (text_[position_++]) {
    case '"':
      out += '"';
      return;
    case '\\':
      out += '\\';
      return;
    case '/':
      out += '/';
      return;
    case 'b':
      out += '\b';
      return;
    case 'f':
      out += '\f';
      return;
    case 'n':
      out += '\n';
      return;
    case 'r':
      out += '\r';
      return;
    case 't':
      out += '\t';
      return;
    case 'u':
      break;
    default:
      fail("unknown escape in a string", begin);
  }
  std::uint32_t code = read_hex4();
  if (code >= 0xd800 && code < 0xe000) {
    const std::size_t end = position_;
    const bool followed = code < 0xdc00 && text_.substr(position_, 2) == "\\u";
    if (followed) position_ += 2;
    const std::uint32_t low = followed ? read_hex4() : 0;
    if (low >= 0xdc00 && low < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (python_) {
      position_ = end;
    } else {
      fail("unpaired surrogate in a string", begin);
    }
  }
  append_utf8(out, code);
}

std::uint32_t JsonReader::read_hex4() {
  std::uint32_t code = 0;
  for (int i = 0; i < 4; ++i, ++position_) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    std::uint32_t digit = 0;
    if (is_digit(c)) {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint32_t>(c - 'A' + 10);
    } else {
      fail("\\u needs four hexadecimal digits", position_);
    }
    code = code << 4 | digit;
  }
  return code;
}

// Steps over one multi-byte sequence (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
void JsonReader::check_utf8() {
  const auto byte = [&](std::size_t i) {
    return position_ + i < text_.size() ? static_cast<unsigned char>(text_[position_ + i]) : 0U;
  };
  const unsigned lead = byte(0);
  std::size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    fail("a string is not valid UTF-8", position_);
  }
  if (byte(1) < low || byte(1) > high) fail("a string is not valid UTF-8", position_);
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) fail("a string is not valid UTF-8", position_);
  }
  position_ += length;
}

void JsonReader::enter() {
  if (depth_ == depth_limit_) fail("nested deeper than the limit of " + std::to_string(depth_limit_), position_);
  ++depth_;
  ++position_;
  first_ = true;
}

// Steps over the comma before the next member, or over the closing bracket (false).
bool JsonReader::next_member(char close) {
  skip_space();
  const bool first = first_;
  first_ = false;
  if (position_ < text_.size() && text_[position_] == close) {
    ++position_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (position_ == text_.size() || text_[position_] != ',') {
    fail(std::string("expected ',' or '") + close + "'", position_);
  }
  ++position_;
  return true;
}

void JsonReader::begin_object() {
  expect_kind(JsonKind::object);
  enter();
}

bool JsonReader::next_key(std::string& key) {
  if (!next_member('}')) return false;
  skip_space();
  if (position_ == text_.size() || text_[position_] != '"') fail("expected a key between double quotes", position_);
  key_offset_ = position_;
  read_string(key);
  skip_space();
  if (position_ == text_.size() || text_[position_] != ':') fail("expected ':' after the key", position_);
  ++position_;
  return true;
}

void JsonReader::begin_array() {
  expect_kind(JsonKind::array);
  enter();
}

bool JsonReader::next_element() { return next_member(']'); }

void JsonReader::finish() {
  skip_space();
  if (position_ != text_.size()) fail("expected the end of the text", position_);
}

}  // namespace filbert
