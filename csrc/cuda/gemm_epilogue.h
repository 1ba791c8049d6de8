// From accumulators to the output: bias, activation and residual in float32, then one rounding.
//
// Gated: of the matrix's rows, and so of the accumulators' columns, eight are the gate's and the next eight what it
// multiplies (kernels.h). A thread has the same of each eight, so that every other tile of 8 columns takes the product,
// and the output is half as wide as the matrix.
#pragma once

#include "cuda/activation.h"
#include "cuda/gemm_tile.h"
#include "cuda/kernels.h"

namespace filbert::cuda {

// One function for all but the usual activations would be a large switch for each accumulator. They go through shared
// memory instead, where a loop that is not unrolled can address them; a thread meets only its own. Step: every how many
// tiles of 8 columns.
template <typename Shape, int Step>
__device__ __forceinline__ void activate_in_shared(filbert_activation activation, Accumulators<Shape>& sums) {
  sync_block();  // the stages are used up
  constexpr int kTiles = Shape::kN / Step, kCount = Shape::kM * kTiles * 4;
  float* own = reinterpret_cast<float*>(shared_memory()) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kCount; ++i) own[i * Shape::kThreads] = sums.c[i / 4 / kTiles][i / 4 % kTiles * Step][i % 4];
#pragma unroll 1
  for (int i = 0; i < kCount; ++i) own[i * Shape::kThreads] = activate(activation, own[i * Shape::kThreads]);
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums.c[i / 4 / kTiles][i / 4 % kTiles * Step][i % 4] = own[i * Shape::kThreads];
}

// Those that an epilogue without shared memory has: what encoders have between their layers.
constexpr bool is_inline(filbert_activation activation) {
  return activation == FILBERT_IDENTITY || activation == FILBERT_GELU_ERF || activation == FILBERT_GELU_TANH ||
         activation == FILBERT_SILU;
}

// What an epilogue of few columns may read before its sums are there.
template <typename Shape>
struct EarlyReads {
  float bias[Shape::kN][2] = {};
  std::uint32_t residual[Shape::kM * Shape::kN * 2] = {};  // pairs
};

// `row` and `column` are where the warp's part of the output begins. Wide: n and the pointers are multiples of 16
// bytes.
template <typename Shape, typename T, bool Gated = false>
struct Epilogue {
  static constexpr int kM = Shape::kM, kN = Shape::kN;
  static constexpr int kStep = Gated ? 2 : 1;  // tiles of 8 columns to the next one of the output
  const Linear& task;
  std::size_t row, column;
  int lane = static_cast<int>(threadIdx.x % 32);

  using Early = EarlyReads<Shape>;

  __device__ __forceinline__ void read_bias(Early& early) const {
    if (!task.bias) return;
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) early.bias[j][e] = bias_of(j, e);
  }

  __device__ __forceinline__ void read_residual(Early& early, bool wide) const {
    if (Gated || !task.residual || !wide) return;
    const auto* residual = static_cast<const T*>(task.residual);
    for_each_pair([&](int pair, std::size_t offset) {
      early.residual[pair] = *reinterpret_cast<const std::uint32_t*>(residual + offset);
    });
  }

  // Inline: without shared memory, where there is but a choice of activations (is_inline).
  template <bool Inline = false>
  __device__ __forceinline__ void finish(Accumulators<Shape>& sums, bool wide, const Early* early = nullptr) const {
    if (task.bias) add_bias(sums, [&](int j, int e) { return early ? early->bias[j][e] : bias_of(j, e); });
    if (task.activation == FILBERT_GELU_ERF) {
      apply(sums, [](float (&x)[4]) { gelu_erf(x); });
    } else if (task.activation != FILBERT_IDENTITY) {
      if constexpr (!Inline)
        activate_in_shared<Shape, kStep>(task.activation, sums);
      else if (task.activation == FILBERT_SILU)
        apply(sums, [](float (&x)[4]) { activate_each<FILBERT_SILU>(x); });
      else
        apply(sums, [](float (&x)[4]) { activate_each<FILBERT_GELU_TANH>(x); });
    }
    if constexpr (Gated) multiply(sums);
    if (!wide) return store(sums);
    const bool has_residual = !Gated && task.residual;
    constexpr bool kByQuads = kN / kStep % 4 == 0;
    if (early) {
      if (has_residual) add_residual(sums, *early);
    } else if (has_residual && !kByQuads) {
      Early mine;
      read_residual(mine, wide);
      add_residual(sums, mine);
    }
    if constexpr (kByQuads)
      store_wide(sums, has_residual && !early);
    else
      store_pairs(sums);
  }

 private:
  template <typename Function>
  __device__ __forceinline__ static void apply(Accumulators<Shape>& sums, const Function& function) {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; j += kStep) function(sums.c[i][j]);
  }

  template <filbert_activation kActivation>
  __device__ __forceinline__ static void activate_each(float (&x)[4]) {
#pragma unroll
    for (float& one : x) one = activate(kActivation, one);
  }

  __device__ __forceinline__ void multiply(Accumulators<Shape>& sums) const {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; j += 2)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums.c[i][j][e] *= sums.c[i][j + 1][e];
  }

  __device__ __forceinline__ float bias_of(int j, int e) const {
    const std::size_t at = column + static_cast<std::size_t>(j / kStep * 8 + lane % 4 * 2 + e);
    return at < task.n ? task.bias[static_cast<std::size_t>(j % kStep) * task.n + at] : 0.0f;
  }

  template <typename Bias>
  __device__ __forceinline__ static void add_bias(Accumulators<Shape>& sums, const Bias& bias_of) {
#pragma unroll
    for (int j = 0; j < kN; ++j)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float bias = bias_of(j, e);
#pragma unroll
        for (int i = 0; i < kM; ++i) {
          sums.c[i][j][e] += bias;
          sums.c[i][j][e + 2] += bias;
        }
      }
  }

  // Four columns of instructions at a time: after the transposition each lane has 16 bytes of a row. All of a row's
  // residual is on its way before the first of it is used.
  __device__ __forceinline__ void store_wide(Accumulators<Shape>& sums, bool has_residual) const {
    constexpr int kQuads = kN / kStep / 4;
    const auto* residual = static_cast<const T*>(task.residual);
    auto* out = static_cast<T*>(task.out);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::size_t to = row + static_cast<std::size_t>(i * 16 + half * 8 + lane / 4);
        const std::size_t first = column + static_cast<std::size_t>(lane % 4 * 8);
        const std::size_t offset = to * task.n + first;
        const auto is_inside = [&](int quad) {
          return to < task.tokens && first + static_cast<std::size_t>(quad * 32) < task.n;
        };
        if (has_residual) {
          Words words[kQuads] = {};
#pragma unroll
          for (int quad = 0; quad < kQuads; ++quad)
            if (is_inside(quad)) words[quad] = load_16(residual + offset + quad * 32);
#pragma unroll
          for (int quad = 0; quad < kQuads; ++quad) {
            transpose_quad(words[quad].w);
#pragma unroll
            for (int x = 0; x < 4; ++x) add_pair(words[quad].w[x], sums.c[i][(quad * 4 + x) * kStep], half);
          }
        }
#pragma unroll
        for (int quad = 0; quad < kQuads; ++quad) {
          Words words;
#pragma unroll
          for (int x = 0; x < 4; ++x) {
            const float (&pair)[4] = sums.c[i][(quad * 4 + x) * kStep];
            words.w[x] = pack2<T>(pair[half * 2], pair[half * 2 + 1]);
          }
          transpose_quad(words.w);
          if (is_inside(quad)) store_16(out + offset + quad * 32, words);
        }
      }
  }

  __device__ __forceinline__ static void add_pair(std::uint32_t pair, float (&sums)[4], int half) {
    float low, high;
    unpack2<T>(pair, low, high);
    sums[half * 2] += low;
    sums[half * 2 + 1] += high;
  }

  __device__ __forceinline__ void add_residual(Accumulators<Shape>& sums, const Early& early) const {
    for_each_pair([&](int pair, std::size_t) { add_pair(early.residual[pair], tile_of(sums, pair), pair % 2); });
  }

  // What a pair is of.
  template <typename Sums>
  __device__ __forceinline__ static auto& tile_of(Sums& sums, int pair) {
    return sums.c[pair / (kN / kStep * 2)][pair / 2 % (kN / kStep) * kStep];
  }

  // body(pair, offset) of the pairs of neighbours in a row that this lane has, where n is even.
  template <typename Body>
  __device__ __forceinline__ void for_each_pair(const Body& body) const {
    constexpr int kTiles = kN / kStep;
#pragma unroll
    for (int pair = 0; pair < kM * kTiles * 2; ++pair) {
      const int i = pair / (kTiles * 2), j = pair / 2 % kTiles, half = pair % 2;
      const std::size_t to = row + static_cast<std::size_t>(i * 16 + half * 8 + lane / 4);
      const std::size_t at = column + static_cast<std::size_t>(j * 8 + lane % 4 * 2);
      if (to < task.tokens && at < task.n) body(pair, to * task.n + at);
    }
  }

  // Where a warp has too few columns for 16 bytes of a row.
  __device__ __forceinline__ void store_pairs(const Accumulators<Shape>& sums) const {
    auto* out = static_cast<T*>(task.out);
    for_each_pair([&](int pair, std::size_t offset) {
      const float (&c)[4] = tile_of(sums, pair);
      *reinterpret_cast<std::uint32_t*>(out + offset) = pack2<T>(c[pair % 2 * 2], c[pair % 2 * 2 + 1]);
    });
  }

  __device__ __forceinline__ void store(const Accumulators<Shape>& sums) const {
    const auto* residual = static_cast<const T*>(task.residual);
    auto* out = static_cast<T*>(task.out);
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN / kStep; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const std::size_t to = row + static_cast<std::size_t>(i * 16 + e / 2 * 8 + lane / 4);
          const std::size_t at = column + static_cast<std::size_t>(j * 8 + lane % 4 * 2 + e % 2);
          if (to >= task.tokens || at >= task.n) continue;
          const std::size_t offset = to * task.n + at;
          const float sum = sums.c[i][j * kStep][e] + (!Gated && residual ? to_float(residual[offset]) : 0.0f);
          out[offset] = from_float<T>(sum);
        }
  }
};

}  // namespace filbert::cuda
