// A mixture of experts. Every expert multiplies every row, and counts nothing where it was not chosen: how many rows
// choose one is known on the device alone, where a recording cannot ask for it. So it costs what all experts cost, not
// what the chosen ones do. Sums over experts are float32, in ascending order.
#include "cuda/experts.h"

#include "cuda/launch.h"
#include "cuda/rows.h"
#include "cuda/weight.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4;

// shares [tokens, experts]: p of the chosen ones, 0 of the others. A warp has a token.
template <typename T>
__global__ void __launch_bounds__(kWarp* kWarps) route_rows(const T* x, const float* router, std::size_t tokens,
                                                            std::size_t width, int experts, int top_k, float* shares) {
  let_next_start();
  wait_for_previous();
  const std::size_t token = std::size_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (token >= tokens) return;
  const unsigned lane = threadIdx.x % kWarp;
  float* p = reinterpret_cast<float*>(shared_memory()) + threadIdx.x / kWarp * static_cast<unsigned>(experts);
  x += token * width;
  for (int e = 0; e < experts; ++e, router += width) {
    float sum = 0;
    for (std::size_t i = lane; i < width; i += kWarp) sum = fmaf(to_float(x[i]), router[i], sum);
    sum = warp_sum(sum);
    if (lane == 0) p[e] = sum;
  }
  if (lane != 0) return;

  float top = p[0], sum = 0;
  for (int e = 1; e < experts; ++e) top = fmaxf(top, p[e]);
  for (int e = 0; e < experts; ++e) sum += p[e] = expf(p[e] - top);
  shares += token * static_cast<std::size_t>(experts);
  for (int e = 0; e < experts; ++e) shares[e] = 0;
  constexpr float kTaken = -1;
  for (int i = 0; i < top_k; ++i) {
    int best = -1;
    for (int e = 0; e < experts; ++e)
      if (p[e] != kTaken && (best < 0 || p[e] > p[best])) best = e;
    shares[best] = p[best] / sum;
    p[best] = kTaken;
  }
}

// What one expert gave all rows.
struct Given {
  const void* results;  // [tokens, width]
  const float* shares;  // [tokens, experts]
  float* sums;          // [tokens, width]
  std::size_t numbers, width;
  int expert, experts;
  const float* bias;     // [width]
  const void* residual;  // [tokens, width]
  void* out;             // [tokens, width]; the last expert writes it
};

constexpr unsigned kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads) add_expert(Given given) {
  let_next_start();
  wait_for_previous();
  const std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= given.numbers) return;
  const float share =
      given.shares[i / given.width * static_cast<std::size_t>(given.experts) + static_cast<std::size_t>(given.expert)];
  float sum = given.expert == 0 ? 0.0f : given.sums[i];
  // An infinity of an expert that was not chosen is nothing, and zero times it is NaN.
  if (share != 0) sum = fmaf(share, to_float(static_cast<const T*>(given.results)[i]), sum);
  if (given.expert + 1 < given.experts)
    given.sums[i] = sum;
  else
    static_cast<T*>(given.out)[i] =
        from_float<T>(sum + given.bias[i % given.width] + to_float(static_cast<const T*>(given.residual)[i]));
}

// What of the op's memory begins where, in bytes.
struct Places {
  std::size_t sums, inner, results, end;

  Places(Type type, const filbert_experts_args& args) {
    const auto after = [](std::size_t begin, std::size_t bytes) { return begin + (bytes + 63) / 64 * 64; };
    const std::size_t numbers = args.tokens * args.up[0]->cols;
    sums = after(0, args.tokens * args.experts * sizeof(float));  // behind the shares
    inner = after(sums, numbers * sizeof(float));
    results = after(inner, args.tokens * args.up[0]->rows * size_of(type));
    end = after(results, numbers * size_of(type));
  }
};

}  // namespace

std::size_t experts_memory(Type type, const filbert_experts_args& args) { return Places(type, args).end; }

cudaError_t experts(Type type, const filbert_experts_args& args, const Chip& chip, cudaStream_t stream) {
  const Places places(type, args);
  auto* const memory = static_cast<std::byte*>(args.memory);
  auto* const shares = static_cast<float*>(args.memory);
  const std::size_t width = args.up[0]->cols;
  const int count = static_cast<int>(args.experts);
  Given given = {memory + places.results,
                 shares,
                 reinterpret_cast<float*>(memory + places.sums),
                 args.tokens * width,
                 width,
                 0,
                 count,
                 floats_of(args.bias),
                 args.residual,
                 args.out};
  return with_type(type, [&]<typename T>(T*) {
    const std::size_t blocks = (args.tokens + kWarps - 1) / kWarps;
    cudaError_t error = launch(route_rows<T>, dim3(static_cast<unsigned>(blocks)), dim3(kWarp * kWarps),
                               kWarps * args.experts * sizeof(float), stream, static_cast<const T*>(args.x),
                               floats_of(args.router), args.tokens, width, count, static_cast<int>(args.top_k), shares);
    for (; given.expert < count && error == cudaSuccess; ++given.expert) {
      const filbert_weight& up = *args.up[given.expert];
      const filbert_weight& down = *args.down[given.expert];
      const std::size_t many = (given.numbers + kThreads - 1) / kThreads;
      error = linear(
          type,
          {args.x, up.data, nullptr, nullptr, args.activation, args.tokens, up.rows, up.cols, memory + places.inner},
          chip, stream);
      if (error == cudaSuccess)
        error = linear(type,
                       {memory + places.inner, down.data, nullptr, nullptr, FILBERT_IDENTITY, args.tokens, down.rows,
                        down.cols, memory + places.results},
                       chip, stream);
      if (error == cudaSuccess)
        error = launch(add_expert<T>, dim3(static_cast<unsigned>(many)), dim3(kThreads), 0, stream, given);
    }
    return error;
  });
}

}  // namespace filbert::cuda
