// The rows of a gate and of what it multiplies in turns, a step of them at a time (kernels.h), so that the matrix
// product has both sums of an output in one thread. A block has a row of the output; 16 bytes a thread where rows are
// multiples of that. Done once for each weight, at load.
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    interleave_rows(const T* x, std::size_t n, std::size_t width, unsigned step, T* out) {
  let_next_start();
  wait_for_previous();
  const unsigned turn = blockIdx.x / step;  // even ones are the gate's
  const std::size_t row = turn / 2 * step + blockIdx.x % step;
  x += (turn % 2 * n + row) * width;
  out += std::size_t{blockIdx.x} * width;
  for (std::size_t i = threadIdx.x; i < width; i += kThreads) out[i] = row < n ? x[i] : T{};
}

template <typename T>
cudaError_t start(Type type, const Interleave& args, std::size_t width, cudaStream_t stream) {
  return launch(interleave_rows<T>, dim3(static_cast<unsigned>(gated_rows(type, args.n))), dim3(kThreads), 0, stream,
                static_cast<const T*>(args.x), args.n, width, static_cast<unsigned>(gated_step(type)),
                static_cast<T*>(args.out));
}

}  // namespace

cudaError_t interleave(Type type, const Interleave& args, cudaStream_t stream) {
  const std::size_t bytes = args.k * size_of(type);
  if (bytes % sizeof(Words) == 0 && is_aligned(args.x) && is_aligned(args.out))
    return start<Words>(type, args, bytes / sizeof(Words), stream);
  return type == Type::f32 ? start<float>(type, args, args.k, stream)
                           : start<std::uint16_t>(type, args, args.k, stream);
}

}  // namespace filbert::cuda
