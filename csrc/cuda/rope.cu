// Rotary positions. A block has a token: its angles' cosines and sines go to shared memory once, then every head turns
// by them, 16 bytes of either half a thread where heads and halves are multiples of that.
#include <cmath>

#include "cuda/heads.h"
#include "cuda/launch.h"
#include "cuda/row_ops.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

// Off by 1e-7 at most for angles up to 2^24. sinf and cosf would keep room on the stack for any angle.
__device__ __forceinline__ void turn(float angle, float& cosine, float& sine) {
  constexpr float kQuarters = 0.636619772f;  // in an angle of 1
  constexpr float kHigh = 0x1.921fb4p0f;     // pi / 2 up to a last bit 2^-22: angle - quarters kHigh is exact
  constexpr float kLow = 0x1.4442d2p-24f;    // and the rest of it, off by less than 2^-49
  constexpr float kRoundTurns = 0x1.8p35f;   // what is added to it is rounded to a multiple of 4096 quarters,
  constexpr float kRound = 0x1.8p23f;        // or to an integer in its last bits
  const float turns = fmaf(angle, kQuarters, kRoundTurns) - kRoundTurns;
  const float rest = fmaf(turns, -kLow, fmaf(turns, -kHigh, angle));
  const float shifted = fmaf(rest, kQuarters, kRound);
  const float quarters = turns + (shifted - kRound);
  const float r = fmaf(quarters, -kLow, fmaf(quarters, -kHigh, angle));
  const float square = r * r;
  float s = fmaf(-1.9507846e-4f, square, 8.332106e-3f);  // minimax fits on [-pi / 4, pi / 4]
  s = fmaf(s, square, -0.16666654f);
  s = fmaf(s * square, r, r);
  float c = fmaf(2.4430661e-5f, square, -1.3887301e-3f);
  c = fmaf(c, square, 4.1666646e-2f);
  c = fmaf(c, square, -0.5f);
  c = fmaf(c, square, 1.0f);
  const std::uint32_t quarter = as_bits(shifted) & 3;
  const float across = quarter % 2 == 0 ? c : s, up = quarter % 2 == 0 ? s : c;
  cosine = quarter == 1 || quarter == 2 ? -across : across;
  sine = quarter >= 2 ? -up : up;
}

template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads) rope_rows(filbert_rope_args args, const float* frequencies) {
  let_next_start();
  wait_for_previous();
  const auto half = static_cast<int>(args.rotary / 2);
  float* cosines = reinterpret_cast<float*>(shared_memory());
  float* sines = cosines + half;
  const auto position = static_cast<float>(args.positions[blockIdx.x]);
  for (int i = static_cast<int>(threadIdx.x); i < half; i += kThreads)
    turn(position * frequencies[i], cosines[i], sines[i]);
  sync_block();

  T* heads = head_of<T>(args.heads, blockIdx.x, 0, 0);
  const int steps = half / kStep, count = static_cast<int>(args.count), head_size = static_cast<int>(args.head_size);
  for (int i = static_cast<int>(threadIdx.x); i < count * steps; i += kThreads) {
    const int column = i % steps * kStep;
    T* first = heads + i / steps * head_size + column;
    float x[kStep], y[kStep], cosine[kStep], sine[kStep];
    load_row(first, x);
    load_row(first + half, y);
    load_row(cosines + column, cosine);
    load_row(sines + column, sine);
#pragma unroll
    for (int j = 0; j < kStep; ++j) {
      const float turned = fmaf(x[j], cosine[j], -(y[j] * sine[j]));
      y[j] = fmaf(y[j], cosine[j], x[j] * sine[j]);
      x[j] = turned;
    }
    store_row(first, x);
    store_row(first + half, y);
  }
}

}  // namespace

cudaError_t rope(Type type, const filbert_rope_args& args, std::size_t tokens, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const std::size_t half = args.rotary / 2;
    const bool aligned = are_aligned<T>(args.heads, args.head_size) && half % kVector<T> == 0;
    return launch(aligned ? rope_rows<kVector<T>, T> : rope_rows<1, T>, dim3(static_cast<unsigned>(tokens)),
                  dim3(kThreads), 2 * half * sizeof(float), stream, args, floats_of(args.frequencies));
  });
}

}  // namespace filbert::cuda
