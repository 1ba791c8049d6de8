// The strict reader of the safetensors format: 8 bytes of little-endian header length N, N bytes of JSON, the data.
#pragma once

#include <filbert/weights.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace filbert {

inline constexpr std::size_t kMaxHeaderBytes = 100'000'000;
inline constexpr std::size_t kMaxHeaderEntries = 1'000'000;  // tensors and metadata: bounds the memory of a header

struct SafetensorsFile {
  std::vector<std::pair<std::string, TensorView>> tensors;    // in the order of their data; views into the input
  std::vector<std::pair<std::string, std::string>> metadata;  // sorted by key
};

// Throws WeightsError naming `source` (a path), the tensor, what was found and what was expected. Reads the header
// only: no byte of tensor data is touched. TensorView::data is as the file has it, and may be misaligned for its type.
SafetensorsFile parse_safetensors(const std::byte* data, std::size_t size, const std::string& source);

}  // namespace filbert
