#include "files/stand_in.h"

#include <algorithm>
#include <cstddef>

namespace filbert {
namespace {

// `begin` is in lower case.
bool begins_with_any_case(std::string_view text, std::string_view begin) {
  return text.size() >= begin.size() && std::equal(begin.begin(), begin.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
         });
}

}  // namespace

std::string stand_in(std::string_view bytes) {
  if (bytes.empty()) return "the file is empty";
  if (bytes.starts_with("version https://git-lfs.github.com/spec/")) {
    return "found a pointer of Git LFS instead of the file itself (`git lfs pull` in its folder fetches it)";
  }
  const std::string_view text = bytes.substr(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
  if (begins_with_any_case(text, "<!doctype html") || begins_with_any_case(text, "<html")) {
    return "found an HTML page instead of the file itself (of a proxy or a log-in?)";
  }
  return "";
}

}  // namespace filbert
