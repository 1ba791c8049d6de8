#include "files/text.h"

#include <cstddef>

namespace filbert {

std::string quote(std::string_view text) {
  constexpr std::size_t kLongest = 200;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  if (text.size() > kLongest) out += "...";
  return out + '"';
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string out = "[";
  for (const std::uint64_t dimension : shape) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(dimension);
  }
  return out + ']';
}

}  // namespace filbert
