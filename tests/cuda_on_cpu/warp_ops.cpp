// ldmatrix and mma for a whole warp, with the layouts of the PTX manual.
#include <cstring>

#include "cuda/ptx.h"

namespace filbert::cuda::on_cpu {
namespace {

using cuda_on_cpu::kWarp;

struct LoadMatrices {
  std::uint32_t* result;
  const void* row;
};

template <unsigned kMatrices, bool kTransposed>
void load_matrices(void* const (&lanes)[kWarp]) {
  std::uint16_t rows[kMatrices * 8][8];
  for (unsigned i = 0; i < kMatrices * 8; ++i)
    std::memcpy(rows[i], static_cast<const LoadMatrices*>(lanes[i])->row, sizeof(rows[i]));
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    const unsigned g = lane / 4, t = lane % 4 * 2;
    for (unsigned m = 0; m < kMatrices; ++m) {
      const std::uint16_t (*matrix)[8] = rows + m * 8;
      const std::uint32_t low = kTransposed ? matrix[t][g] : matrix[g][t];
      const std::uint32_t high = kTransposed ? matrix[t + 1][g] : matrix[g][t + 1];
      static_cast<LoadMatrices*>(lanes[lane])->result[m] = low | high << 16;
    }
  }
}

struct Operands {
  float* c;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

// Pairs go to their places first: whole rows are then converted with vector instructions.
template <typename T>
void multiply(void* const (&lanes)[kWarp]) {
  std::uint32_t pairs_a[16][8], pairs_b[8][8];  // [row or column][k / 2]
  float c[16][8];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    const auto& operands = *static_cast<const Operands*>(lanes[lane]);
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) pairs_a[g + i % 2 * 8][t + i / 2 * 4] = operands.a[i];
    for (unsigned i = 0; i < 2; ++i) pairs_b[g][t + i * 4] = operands.b[i];
    for (unsigned i = 0; i < 4; ++i) c[g + i / 2 * 8][t * 2 + i % 2] = operands.c[i];
  }
  float b[16][8];  // [k][column]
  for (unsigned pair = 0; pair < 8; ++pair)
    for (unsigned column = 0; column < 8; ++column)
      unpack2<T>(pairs_b[column][pair], b[pair * 2][column], b[pair * 2 + 1][column]);
  for (unsigned row = 0; row < 16; ++row) {
    float low[8], high[8];  // of the pairs along k
    for (unsigned pair = 0; pair < 8; ++pair) unpack2<T>(pairs_a[row][pair], low[pair], high[pair]);
    for (unsigned pair = 0; pair < 8; ++pair) {
      for (unsigned column = 0; column < 8; ++column) c[row][column] += low[pair] * b[pair * 2][column];
      for (unsigned column = 0; column < 8; ++column) c[row][column] += high[pair] * b[pair * 2 + 1][column];
    }
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    const unsigned g = lane / 4, t = lane % 4 * 2;
    for (unsigned i = 0; i < 4; ++i) static_cast<Operands*>(lanes[lane])->c[i] = c[g + i / 2 * 8][t + i % 2];
  }
}

}  // namespace

void ldmatrix(std::uint32_t* result, int matrices, bool transposed, const void* row) {
  if (lane() < static_cast<unsigned>(matrices) * 8) cuda_on_cpu::check_shared("ldmatrix", row);
  LoadMatrices mine = {result, row};
  if (matrices == 4)
    cuda_on_cpu::meet_warp("ldmatrix", transposed ? load_matrices<4, true> : load_matrices<4, false>, &mine);
  else
    cuda_on_cpu::meet_warp("ldmatrix", transposed ? load_matrices<2, true> : load_matrices<2, false>, &mine);
}

template <typename T>
void mma(float* c, const std::uint32_t* a, const std::uint32_t* b) {
  Operands mine = {c, a, b};
  cuda_on_cpu::meet_warp("mma", multiply<T>, &mine);
}
template void mma<Bf16>(float*, const std::uint32_t*, const std::uint32_t*);
template void mma<F16>(float*, const std::uint32_t*, const std::uint32_t*);

}  // namespace filbert::cuda::on_cpu
