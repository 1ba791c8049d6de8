// Gated units: out = activation(x[:, :width]) x[:, width:]. A block has a row, in as many threads as its passes over
// the row, of 16 bytes a thread where widths are multiples of that, keep busy.
#include <algorithm>

#include "cuda/activation.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 256;

template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads) gate_rows(const T* x, filbert_activation activation, int width, T* out) {
  x += std::size_t{blockIdx.x} * 2 * static_cast<std::size_t>(width);
  out += std::size_t{blockIdx.x} * static_cast<std::size_t>(width);
  const int stride = static_cast<int>(blockDim.x) * kStep;
  for (int i = static_cast<int>(threadIdx.x) * kStep; i < width; i += stride) {
    float values[kStep], factors[kStep];
    load_row(x + i, values);
    load_row(x + width + i, factors);
    if (activation == FILBERT_GELU_ERF) {  // without a switch for each number
#pragma unroll
      for (int j = 0; j < kStep; ++j) values[j] = gelu_erf(values[j]) * factors[j];
    } else if (activation == FILBERT_SILU) {
#pragma unroll
      for (int j = 0; j < kStep; ++j) values[j] = activate(FILBERT_SILU, values[j]) * factors[j];
    } else {
#pragma unroll
      for (int j = 0; j < kStep; ++j) values[j] = activate(activation, values[j]) * factors[j];
    }
    store_row(out + i, values);
  }
}

}  // namespace

cudaError_t gate(Type type, const Gate& args, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const bool aligned = args.width % kVector<T> == 0;
    const auto kernel = aligned ? gate_rows<kVector<T>, T> : gate_rows<1, T>;
    const std::size_t steps = aligned ? args.width / kVector<T> : args.width;
    const std::size_t passes = std::max<std::size_t>((steps + kThreads - 1) / kThreads, 1);
    const std::size_t warps = std::max<std::size_t>((steps + passes * kWarp - 1) / (passes * kWarp), 1);
    return launch(kernel, dim3(static_cast<unsigned>(args.tokens)), dim3(static_cast<unsigned>(warps * kWarp)), 0,
                  stream, static_cast<const T*>(args.x), args.activation, static_cast<int>(args.width),
                  static_cast<T*>(args.out));
  });
}

}  // namespace filbert::cuda
