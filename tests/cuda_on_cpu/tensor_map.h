// What the fake cuTensorMapEncodeTiled keeps of a matrix.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cuda_on_cpu {

// Rows of 16-bit numbers, `stride` bytes apart, in boxes of `box_rows` rows of 64 columns.
struct BoxedMatrix {
  std::uint64_t mark;
  const std::byte* base;
  std::uint64_t columns, rows, stride, box_rows;
};
inline constexpr std::uint64_t kBoxedMatrix = 0x6d61707061706d21;  // `mark` of those that were made

}  // namespace filbert::cuda_on_cpu
