#include "files/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace filbert {
namespace {

constexpr DTypeInfo kDTypes[] = {
    {"F32", 32, DType::f32},      {"F16", 16, DType::f16},          {"BF16", 16, DType::bf16},
    {"F64", 64, DType::f64},      {"BOOL", 8, DType::other},        {"F4", 4, DType::other},
    {"F6_E2M3", 6, DType::other}, {"F6_E3M2", 6, DType::other},     {"U8", 8, DType::other},
    {"I8", 8, DType::other},      {"F8_E5M2", 8, DType::other},     {"F8_E4M3", 8, DType::other},
    {"F8_E8M0", 8, DType::other}, {"F8_E4M3FNUZ", 8, DType::other}, {"F8_E5M2FNUZ", 8, DType::other},
    {"I16", 16, DType::other},    {"U16", 16, DType::other},        {"I32", 32, DType::other},
    {"U32", 32, DType::other},    {"C64", 64, DType::other},        {"I64", 64, DType::other},
    {"U64", 64, DType::other},
};

template <typename Stored, typename Convert>
std::vector<float> convert_all(const TensorView& tensor, const Convert& convert) {
  std::vector<float> values(tensor.bytes / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, tensor.data + i * sizeof(Stored), sizeof(Stored));
    values[i] = convert(stored);
  }
  return values;
}

float half_to_float(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const auto fraction = static_cast<float>(bits & 1023);
  const float magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                          : exponent == 0 ? std::ldexp(fraction, -24)
                                          : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace

bool holds_integers(const TensorView& tensor) {
  for (const char* name : {"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"})
    if (tensor.dtype_name == name) return true;
  return false;
}

std::vector<std::int64_t> to_integers(const TensorView& tensor) {
  const auto all = [&]<typename Stored>(Stored) {
    std::vector<std::int64_t> values(tensor.bytes / sizeof(Stored));
    for (std::size_t i = 0; i < values.size(); ++i) {
      Stored stored;
      std::memcpy(&stored, tensor.data + i * sizeof(Stored), sizeof(Stored));
      values[i] = static_cast<std::int64_t>(stored);
    }
    return values;
  };
  if (tensor.dtype_name == "I64") return all(std::int64_t{});
  if (tensor.dtype_name == "I32") return all(std::int32_t{});
  if (tensor.dtype_name == "I16") return all(std::int16_t{});
  if (tensor.dtype_name == "I8") return all(std::int8_t{});
  if (tensor.dtype_name == "U64") return all(std::uint64_t{});
  if (tensor.dtype_name == "U32") return all(std::uint32_t{});
  return tensor.dtype_name == "U16" ? all(std::uint16_t{}) : all(std::uint8_t{});
}

std::vector<float> to_floats(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::f16:
      return convert_all<std::uint16_t>(tensor, half_to_float);
    case DType::bf16:
      return convert_all<std::uint16_t>(
          tensor, [](std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); });
    case DType::f64:
      return convert_all<double>(tensor, [](double value) { return static_cast<float>(value); });
    case DType::f32:
    case DType::i8:
    case DType::other:  // matching admits no such tensor
      break;
  }
  return convert_all<float>(tensor, [](float value) { return value; });
}

const DTypeInfo* find_dtype(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::optional<std::uint64_t> tensor_bytes(const DTypeInfo& dtype, const std::vector<std::uint64_t>& shape,
                                          std::string& problem) {
  std::uint64_t bits = dtype.bits;
  bool empty = false;
  for (const std::uint64_t dimension : shape) {
    if (dimension == 0) {
      empty = true;  // and go on: code that multiplies in another order must not overflow either
    } else if (bits > std::numeric_limits<std::uint64_t>::max() / dimension) {
      problem = "the number of bits overflows 64 bits";
      return std::nullopt;
    } else {
      bits *= dimension;
    }
  }
  if (empty) return 0;
  if (bits % 8 != 0) {
    problem = "its " + std::to_string(bits) + " bits are no whole number of bytes";
    return std::nullopt;
  }
  return bits / 8;
}

}  // namespace filbert
