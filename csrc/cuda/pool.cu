// One row [width] of the tokens [length, width] of each sequence: the first, the last, the mean or the maximum, divided
// by its length if asked. A block has a sequence. Its threads stand side by side over the columns, up to 128 of them
// with 16 bytes each (a number each where the width is no multiple of that), and as many groups of them as there are
// threads for take turns with the tokens. A thread has eight reads on their way before it adds: one sequence alone is
// read at the rate of one multiprocessor. Group sums meet in shared memory. Which token falls to which group follows
// from width and type alone. Rows wider than the threads reach (1024 columns of 16-bit numbers) go tile by tile, and
// twice when the length must be known first.
#include <algorithm>
#include <cmath>

#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarp;
constexpr int kMostSideBySide = 128;
constexpr int kReads = 8;  // of a thread, on their way at once

template <bool kMax>
__device__ __forceinline__ float join(float a, float b) {
  return kMax ? fmaxf(a, b) : a + b;
}

// The tokens of one group: x [length, width] from its first token and the thread's columns on, every `groups`-th.
template <bool kMax, int kStep, typename T>
__device__ __forceinline__ void pool_tokens(const T* x, int length, std::size_t width, int group, int groups,
                                            float (&values)[kStep]) {
  for (int first = group; first < length; first += kReads * groups) {
    Loaded<kStep, T> loaded[kReads];
#pragma unroll
    for (int i = 0; i < kReads; ++i) {
      // Past the end without a branch, so that all reads start at once.
      const int token = first + i * groups;
      loaded[i].load(x + static_cast<std::size_t>(token < length ? token : length - 1) * width);
    }
#pragma unroll
    for (int i = 0; i < kReads; ++i) {
      float more[kStep];
      loaded[i].unpack(more);
      const bool is_there = first + i * groups < length;
#pragma unroll
      for (int j = 0; j < kStep; ++j) values[j] = is_there ? join<kMax>(values[j], more[j]) : values[j];
    }
  }
}

// The pooled columns [begin, begin + side_by_side kStep) of a sequence: thread i finds those at i, i + kThreads, ... in
// `partial` [groups, side_by_side kStep], for its own use.
template <bool kMax, int kStep, typename T>
__device__ __forceinline__ void pool_tile(const T* x, int length, int width, int begin, int side_by_side,
                                          float* partial) {
  const int thread = static_cast<int>(threadIdx.x);
  const int groups = kThreads / side_by_side;
  const int tile = side_by_side * kStep;
  const int group = thread / side_by_side;
  const int column = thread % side_by_side * kStep;
  if (group < groups && begin + column < width) {
    x += begin + column;
    float values[kStep] = {};
    if constexpr (kMax) load_row(x, values);  // any token will do to begin with
    pool_tokens<kMax>(x, length, static_cast<std::size_t>(width), group, groups, values);
#pragma unroll
    for (int i = 0; i < kStep; ++i) partial[group * tile + column + i] = values[i];
  }
  sync_block();
  for (int i = thread; i < tile && begin + i < width; i += kThreads) {
    float value = partial[i];
    for (int other = 1; other < groups; ++other) value = join<kMax>(value, partial[other * tile + i]);
    partial[i] = kMax ? value : value / static_cast<float>(length);  // a first or last token is one
  }
}

template <bool kMax, int kStep, typename T>
__global__ void __launch_bounds__(kThreads, 2) pool_sequences(Pool args, int side_by_side) {
  let_next_start();
  wait_for_previous();
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
      pool_tile<kMax, kStep>(x, length, width, begin, side_by_side, partial);
      for (int i = thread; i < tile && begin + i < width; i += kThreads) squares += partial[i] * partial[i];
    }
    divisor = fmaxf(sqrtf(block_sum<kWarps>(squares, scratch)), 1e-12f);
  }
  for (int begin = 0; begin < width; begin += tile) {
    const bool is_there = args.normalize && width <= tile;
    if (!is_there) {
      if (begin > 0) sync_block();
      pool_tile<kMax, kStep>(x, length, width, begin, side_by_side, partial);
    }
    for (int i = thread; i < tile && begin + i < width; i += kThreads)
      out[begin + i] = from_float<T>(partial[i] / divisor);
  }
}

template <int kStep, typename T>
cudaError_t pool_in_steps(const Pool& args, cudaStream_t stream) {
  const std::size_t lanes = (args.width + kStep - 1) / kStep;
  const int side_by_side = static_cast<int>(std::clamp<std::size_t>(lanes, kWarp, kMostSideBySide));
  const auto kernel =
      args.pooling == FILBERT_POOL_MAX ? pool_sequences<true, kStep, T> : pool_sequences<false, kStep, T>;
  return launch(kernel, dim3(static_cast<unsigned>(args.sequences)), dim3(kThreads),
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
