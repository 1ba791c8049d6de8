#include "cuda/gemm_sm90.h"

#include <algorithm>
#include <cmath>

#include "cuda/gemm_sm90_block.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

#ifdef FILBERT_CUDA_ON_CPU
constexpr int kPair = 1;  // the simulated device knows no clusters
#else
constexpr int kPair = 2;
#endif

constexpr std::size_t kSharedBytes = 232448;  // that a block of an sm_90 may have: what the rings are cut for

template <int Columns, int Boxes>
using SmallShape = Sm90Shape<64, Columns, 1, false, 0, 1, Boxes>;
using Shape128x128 = Sm90Shape<128, 128, 2, true, 6, kPair>;
using Shape128x192 = Sm90Shape<128, 192, 2, true, 5, kPair>;
using Shape128x256 = Sm90Shape<128, 256, 2, false, 4, kPair>;

template <typename Shape, bool Gated, typename T>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    sm90_kernel(Linear task, Tiles<Shape> tiles, RingSize size, bool wide, const __grid_constant__ TensorMap x,
                const __grid_constant__ TensorMap w) {
  if constexpr (kIsSm90Code) run_sm90_block<Shape, Gated, T>(task, tiles, size, wide, x, w);
}

__global__ void say_whether_sm90_code(int* out) {
  let_next_start();
  wait_for_previous();
  if (threadIdx.x == 0) *out = kIsSm90Code;
}

template <typename Shape, typename T>
cudaError_t start(Type type, const Linear& task, const Chip& chip, cudaStream_t stream) {
  const std::size_t n = matrix_rows(type, task);
  if (task.tokens == 0) return cudaSuccess;
  const Tiles<Shape> tiles(task.tokens, n);
  const std::size_t count = std::size_t{tiles.down} * tiles.across,
                    many = static_cast<std::size_t>(chip.multiprocessors);
  const std::size_t clusters =
      Shape::kIsSmall ? count : std::min(count, std::max<std::size_t>(many / Shape::kCluster, 1));
  auto size = RingSize::of<Shape>(task.tokens, task.k, chip.shared_bytes);
  if (count > many) {  // two blocks on a multiprocessor, if half of the memory is a ring
    const auto half = RingSize::of<Shape>(task.tokens, task.k, chip.shared_bytes / 2 - 1024);
    if (half.stages > 1) size = half;
  }
  TensorMap x, w;
  cudaError_t error =
      make_tensor_map(type, task.x, task.tokens, task.k, task.k, static_cast<int>(size.x_bytes / kBoxRow), x);
  if (error == cudaSuccess)
    error = make_tensor_map(type, task.weight, n, task.k, task.k, Shape::kColumns / Shape::kCluster, w);
  if (error != cudaSuccess) return error;
  const bool wide = task.n % 8 == 0 && is_aligned(task.residual) && is_aligned(task.out);
  const auto kernel = task.gated ? sm90_kernel<Shape, true, T> : sm90_kernel<Shape, false, T>;
  return launch_clusters(kernel, Shape::kCluster, dim3(static_cast<unsigned>(clusters * Shape::kCluster)),
                         dim3(Shape::kThreads), size.template shared_bytes<Shape>(), stream, task, tiles, size, wide, x,
                         w);
}

template <int Columns, typename T>
cudaError_t start_small(Type type, const Linear& task, const Chip& chip, cudaStream_t stream) {
  const bool in_threes = task.k % (3 * kBoxColumns) == 0 && task.k % (4 * kBoxColumns) != 0;
  return in_threes ? start<SmallShape<Columns, 3>, T>(type, task, chip, stream)
                   : start<SmallShape<Columns, 4>, T>(type, task, chip, stream);
}

template <typename T>
cudaError_t start(Type type, Sm90Tile tile, const Linear& task, const Chip& chip, cudaStream_t stream) {
  switch (tile) {
    case Sm90Tile::t64x16:
      return start_small<16, T>(type, task, chip, stream);
    case Sm90Tile::t64x32:
      return start_small<32, T>(type, task, chip, stream);
    case Sm90Tile::t64x64:
      return start_small<64, T>(type, task, chip, stream);
    case Sm90Tile::t128x128:
      return start<Shape128x128, T>(type, task, chip, stream);
    case Sm90Tile::t128x192:
      return start<Shape128x192, T>(type, task, chip, stream);
    case Sm90Tile::t128x256:
      break;
  }
  return start<Shape128x256, T>(type, task, chip, stream);
}

}  // namespace

cudaError_t ask_for_sm90_code(bool& out) {
  int* on_device = nullptr;
  int found = 0;
  cudaError_t error = cudaMalloc(&on_device, sizeof(int));
  if (error == cudaSuccess) error = launch(say_whether_sm90_code, dim3(1), dim3(32), 0, nullptr, on_device);
  if (error == cudaSuccess) error = cudaMemcpy(&found, on_device, sizeof(int), cudaMemcpyDeviceToHost);
  cudaFree(on_device);
  out = found != 0;
  return error;
}

bool suits_sm90(const Linear& task, const Chip& chip) {
  return chip.is_sm90 && chip.shared_bytes >= kSharedBytes && task.k % 8 == 0 && task.k > 0 && is_aligned(task.x) &&
         is_aligned(task.weight) && is_inline(task.activation);
}

// In microseconds, fitted to what an H200 took (bench/gpu/sweep.cu). Small tiles: each 64 of k takes the chain of
// products, or what a multiprocessor gets of its blocks' operands, and longer where it has several blocks. Large tiles:
// rounds, each with 64 of k after 64 and an epilogue that is not quite hidden.
Sm90Tile choose_sm90_tile(std::size_t tokens, std::size_t n, std::size_t k, const Chip& chip) {
  constexpr struct {
    Sm90Tile tile;
    std::size_t columns;
    double chain;
  } kSmall[] = {{Sm90Tile::t64x16, 16, 0.075}, {Sm90Tile::t64x32, 32, 0.085}, {Sm90Tile::t64x64, 64, 0.105}};
  constexpr struct {
    Sm90Tile tile;
    std::size_t columns;
    double launch, step, round;
  } kLarge[] = {{Sm90Tile::t128x128, 128, 2.7, 0.36, 0.7},
                {Sm90Tile::t128x192, 192, 3.2, 0.536, 0.5},
                {Sm90Tile::t128x256, 256, 1.5, 0.736, 1.3}};
  constexpr double kLaunch = 1.2, kBlock = 0.006, kBytes = 126e3, kCrowded = 1.6;
  const auto parts = [](std::size_t whole, std::size_t part) { return static_cast<double>((whole + part - 1) / part); };
  const double steps = parts(k, kBoxColumns), many = std::max(chip.multiprocessors, 1);
  Sm90Tile best = Sm90Tile::t128x256;
  double least = INFINITY;
  const auto consider = [&](Sm90Tile tile, double time) {
    if (time < least) least = time, best = tile;
  };
  for (const auto& c : kSmall) {
    const double blocks = parts(tokens, 64) * parts(n, c.columns), of_one = std::ceil(blocks / many);
    const double bytes = (std::min(parts(tokens, 8) * 8, 64.0) + static_cast<double>(c.columns)) * kBoxRow;
    const double step = of_one * std::max(c.chain, bytes / kBytes * (of_one > 1 ? kCrowded : 1));
    consider(c.tile, kLaunch + blocks * kBlock + steps * step);
  }
  for (const auto& c : kLarge) {
    const double rounds = std::ceil(parts(tokens, 256) * parts(n, c.columns) / (many / 2));
    consider(c.tile, c.launch + rounds * (steps * c.step + c.round));
  }
  return best;
}

cudaError_t linear_sm90(Type type, Sm90Tile tile, const Linear& task, const Chip& chip, cudaStream_t stream) {
  return type == Type::bf16 ? start<Bf16>(type, tile, task, chip, stream) : start<F16>(type, tile, task, chip, stream);
}

}  // namespace filbert::cuda
