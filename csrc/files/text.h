// Pieces of error messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace filbert {

// `text` between double quotes, control and non-ASCII bytes escaped, cut after 200 bytes: names in messages come from
// files that anyone may have written.
std::string quote(std::string_view text);

// "[30522, 768]"
std::string shape_text(const std::vector<std::uint64_t>& shape);

}  // namespace filbert
