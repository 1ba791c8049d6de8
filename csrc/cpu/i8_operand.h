// What int8 operands are, by the instruction that multiplies them. After a vector type.
#pragma once

#include "cpu/bf16_impl.h"

namespace filbert::cpu::FILBERT_ISA {
namespace {

// Both sides widened to int16: no instruction for bytes (vpmaddubsw saturates its sums of two at 32767, and
// 2 * 127 * 127 is more).
struct WidenedI8 {
  using Layout = RowMajor;
  using Integer = std::int16_t;
  using Word = std::uint32_t;  // two integers
  using Cell = std::uint16_t;  // two int8
  static constexpr std::size_t kGroup = 2;
  static constexpr std::size_t kMultiple = 32;
  static constexpr std::int32_t kZeroPoint = 0;
  static constexpr std::size_t kParts = 1;
  static std::size_t block(std::size_t words) { return words; }
};

// Four unsigned by four signed bytes into int32, without saturation: VNNI and AMX.
struct ByteI8 {
  using Layout = RowMajor;
  using Integer = std::uint8_t;
  using Word = std::uint32_t;
  using Cell = std::uint32_t;
  static constexpr std::size_t kGroup = 4;
  static constexpr std::size_t kMultiple = 64;
  static constexpr std::int32_t kZeroPoint = 128;
  static constexpr std::size_t kParts = 1;
  static std::size_t block(std::size_t words) { return words; }
};

}  // namespace
}  // namespace filbert::cpu::FILBERT_ISA
