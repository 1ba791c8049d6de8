// What is often found in the place of a file: known by its beginning, so that the error names the cause and not what a
// parser stumbled over.
#pragma once

#include <string>
#include <string_view>

namespace filbert {

// "the file is empty", or that it is a pointer of Git LFS or an HTML page; "" for anything else. No safetensors file
// begins like any of them: its header would have a length above the limit.
std::string stand_in(std::string_view bytes);

}  // namespace filbert
