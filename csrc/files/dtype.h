// The element types of the safetensors format.
#pragma once

#include <filbert/weights.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace filbert {

struct DTypeInfo {
  std::string_view name;
  unsigned bits;  // of one element; below 8 for F4 and F6
  DType dtype;
};

const DTypeInfo* find_dtype(std::string_view name);  // nullptr if unknown

inline constexpr std::size_t kMaxRank = 8;

// The bytes of a tensor. nullopt if the product of its dimensions overflows (also when another dimension is 0), or if
// its bits are no whole number of bytes; `problem` then says which.
std::optional<std::uint64_t> tensor_bytes(const DTypeInfo& dtype, const std::vector<std::uint64_t>& shape,
                                          std::string& problem);

bool holds_integers(const TensorView& tensor);

// Those of a tensor that holds them.
std::vector<std::int64_t> to_integers(const TensorView& tensor);

// The numbers of a tensor of a dtype that models are loaded from: exact for F32, F16 and BF16, rounded for F64.
std::vector<float> to_floats(const TensorView& tensor);

}  // namespace filbert
