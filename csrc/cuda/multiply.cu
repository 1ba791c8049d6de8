// Products of rows, number by number, in float32. A block has a row; 16 bytes a thread where rows are multiples of
// that.
#include "cuda/launch.h"
#include "cuda/row_ops.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads)
    multiply_rows(const T* x, const T* y, const float* factor, std::size_t width, T* out) {
  let_next_start();
  wait_for_previous();
  const std::size_t row = std::size_t{blockIdx.x} * width;
  const float scale = factor ? *factor : 1.0f;
  for (std::size_t column = threadIdx.x * kStep; column < width; column += kThreads * kStep) {
    float values[kStep], others[kStep];
    load_row(x + row + column, values);
    if (y) load_row(y + row + column, others);
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
      values[i] *= scale;
      if (y) values[i] *= others[i];
    }
    store_row(out + row + column, values);
  }
}

}  // namespace

cudaError_t multiply(Type type, const filbert_multiply_args& args, std::size_t tokens, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const bool aligned =
        args.width % kVector<T> == 0 && is_aligned(args.x) && is_aligned(args.y) && is_aligned(args.out);
    return launch(aligned ? multiply_rows<kVector<T>, T> : multiply_rows<1, T>, dim3(static_cast<unsigned>(tokens)),
                  dim3(kThreads), 0, stream, static_cast<const T*>(args.x), static_cast<const T*>(args.y),
                  floats_of(args.factor), args.width, static_cast<T*>(args.out));
  });
}

}  // namespace filbert::cuda
