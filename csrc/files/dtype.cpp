#include "files/dtype.h"

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

}  // namespace

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
