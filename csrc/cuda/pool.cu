// One row [width] of the tokens [length, width] of each sequence: the first, the last, the mean or the maximum, divided
// by its length if asked. A block has a sequence. Its threads stand side by side over the columns, up to 128 of them
// with 16 bytes each (a number each where the width is no multiple of that), and the groups of them that this leaves
// take turns with the tokens, so that one long sequence alone keeps many reads on their way. Group sums meet in shared
// memory. Which token falls to which group follows from width and type alone. Rows wider than the threads reach (1024
// columns of 16-bit numbers) go tile by tile, and twice when the length must be known first.
#include <cmath>

#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kSideBySide = 128;

__device__ __forceinline__ float join(filbert_pooling pooling, float a, float b) {
  return pooling == FILBERT_POOL_MAX ? fmaxf(a, b) : a + b;
}

// The pooled columns [begin, begin + side_by_side kStep) of a sequence: thread i finds those at i, i + kThreads, ... in
// `partial` [groups, side_by_side kStep], for its own use.
template <int kStep, typename T>
__device__ __forceinline__ void pool_tile(const T* x, int length, int width, int begin, int side_by_side,
                                          filbert_pooling pooling, float* partial) {
  const int thread = static_cast<int>(threadIdx.x);
  const int groups = kThreads / side_by_side;
  const int tile = side_by_side * kStep;
  const int group = thread / side_by_side;
  const int column = thread % side_by_side * kStep;
  if (begin + column < width) {
    x += begin + column;
    float values[kStep] = {};
    if (pooling == FILBERT_POOL_MAX) load_row(x, values);  // any token will do to begin with
#pragma unroll 4
    for (int t = group; t < length; t += groups) {
      float more[kStep];
      load_row(x + static_cast<std::size_t>(t) * static_cast<std::size_t>(width), more);
#pragma unroll
      for (int i = 0; i < kStep; ++i) values[i] = join(pooling, values[i], more[i]);
    }
#pragma unroll
    for (int i = 0; i < kStep; ++i) partial[group * tile + column + i] = values[i];
  }
  sync_block();
  for (int i = thread; i < tile && begin + i < width; i += kThreads) {
    float value = partial[i];
    for (int other = 1; other < groups; ++other) value = join(pooling, value, partial[other * tile + i]);
    partial[i] = pooling == FILBERT_POOL_MEAN ? value / static_cast<float>(length) : value;
  }
}

template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads) pool_sequences(Pool args, int side_by_side) {
  auto* partial = reinterpret_cast<float*>(shared_memory());
  float* scratch = partial + kThreads * kStep;
  const std::size_t sequence = blockIdx.x;
  const std::int32_t first = args.cu_seqlens[sequence];
  const int tokens = args.cu_seqlens[sequence + 1] - first;
  if (tokens == 0) return;
  const bool last_alone = args.pooling == FILBERT_POOL_LAST;
  const int length = last_alone || args.pooling == FILBERT_POOL_FIRST ? 1 : tokens;
  const T* x =
      static_cast<const T*>(args.x) + static_cast<std::size_t>(last_alone ? first + tokens - 1 : first) * args.width;
  T* out = static_cast<T*>(args.out) + sequence * args.width;
  const int width = static_cast<int>(args.width);
  const int thread = static_cast<int>(threadIdx.x);
  const int tile = side_by_side * kStep;
  float divisor = 1;
  if (args.normalize) {
    float squares = 0;
    for (int begin = 0; begin < width; begin += tile) {
      if (begin > 0) sync_block();
      pool_tile<kStep>(x, length, width, begin, side_by_side, args.pooling, partial);
      for (int i = thread; i < tile && begin + i < width; i += kThreads) squares += partial[i] * partial[i];
    }
    divisor = fmaxf(sqrtf(block_sum<kWarps>(squares, scratch)), 1e-12f);
  }
  for (int begin = 0; begin < width; begin += tile) {
    const bool is_there = args.normalize && width <= tile;
    if (!is_there) {
      if (begin > 0) sync_block();
      pool_tile<kStep>(x, length, width, begin, side_by_side, args.pooling, partial);
    }
    for (int i = thread; i < tile && begin + i < width; i += kThreads)
      out[begin + i] = from_float<T>(partial[i] / divisor);
  }
}

template <int kStep, typename T>
cudaError_t pool_in_steps(const Pool& args, cudaStream_t stream) {
  int side_by_side = kWarp;
  while (side_by_side < kSideBySide && static_cast<std::size_t>(side_by_side) * kStep < args.width) side_by_side *= 2;
  return launch(pool_sequences<kStep, T>, dim3(static_cast<unsigned>(args.sequences)), dim3(kThreads),
                (kThreads * kStep + kWarps) * sizeof(float), stream, args, side_by_side);
}

}  // namespace

cudaError_t pool(Type type, const Pool& args, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    if (args.width % kVector<T> == 0) return pool_in_steps<kVector<T>, T>(args, stream);
    return pool_in_steps<1, T>(args, stream);
  });
}

}  // namespace filbert::cuda
