// Boxes of matrices on their way to shared memory: until they are there, at a moment drawn from the seed, it holds NaN.
#include <algorithm>
#include <cstring>

#include "block.h"
#include "cuda/ptx_sm90.h"
#include "memory.h"
#include "tensor_map.h"

namespace filbert::cuda_on_cpu {
namespace {

constexpr std::int64_t kColumns = 64;  // of a box

struct Box {
  BoxedMatrix matrix;
  std::int64_t column, row;

  std::int64_t rows() const { return static_cast<std::int64_t>(matrix.box_rows); }
  // The part of it that the matrix has.
  std::int64_t left() const { return std::clamp<std::int64_t>(-column, 0, kColumns); }
  std::int64_t right() const {
    return std::clamp(static_cast<std::int64_t>(matrix.columns) - column, left(), kColumns);
  }
  std::int64_t top() const { return std::clamp<std::int64_t>(-row, 0, rows()); }
  std::int64_t bottom() const { return std::clamp(static_cast<std::int64_t>(matrix.rows) - row, top(), rows()); }
  const std::byte* at(std::int64_t i, std::int64_t j) const {
    return matrix.base + (row + i) * static_cast<std::int64_t>(matrix.stride) + (column + j) * 2;
  }
};

void check_source(const Box& box) {
  if (box.left() == box.right() || box.top() == box.bottom()) return;
  const std::byte* const begin = box.at(box.top(), box.left());
  const std::byte* const end = box.at(box.bottom() - 1, box.right());
  if (!device_memory().holds(begin, static_cast<std::size_t>(end - begin)))
    block().fail("copy_box: the map's matrix is not in device memory");
}

void fill(std::byte* to, const Box& box) {
  for (std::int64_t i = 0; i < box.rows(); ++i, to += 128) {
    std::byte line[128] = {};
    if (i >= box.top() && i < box.bottom())
      std::memcpy(line + box.left() * 2, box.at(i, box.left()), static_cast<std::size_t>(box.right() - box.left()) * 2);
    for (unsigned word = 0; word < 8; ++word) std::memcpy(to + (word ^ (i & 7)) * 16, line + word * 16, 16);
  }
}

}  // namespace
}  // namespace filbert::cuda_on_cpu

namespace filbert::cuda {

using namespace cuda_on_cpu;

void copy_box(void* to, const TensorMap& map, int column, int row, Barrier* barrier) {
  Box box = {{}, column, row};
  std::memcpy(&box.matrix, &map, sizeof(box.matrix));
  if (box.matrix.mark != kBoxedMatrix) block().fail("copy_box: the map was not made by cuTensorMapEncodeTiled");
  const std::size_t bytes = box.matrix.box_rows * 128;
  block().check_shared("copy_box", to, bytes, 1024);
  BarrierState& state = usable_barrier("copy_box", barrier);
  check_source(box);
  state.copied = state.phase + 1;
  std::memset(to, 0xff, bytes);
  block().later({0, [=] {
                   fill(static_cast<std::byte*>(to), box);
                   complete_bytes(barrier, static_cast<std::int64_t>(bytes));
                 }});
}

void copy_box_to_all(void* to, const TensorMap& map, int column, int row, Barrier* barrier, std::uint16_t blocks) {
  if (blocks != 1) block().fail("copy_box_to_all: a cluster has one block here, of bit 0");
  copy_box(to, map, column, row, barrier);
}

}  // namespace filbert::cuda
