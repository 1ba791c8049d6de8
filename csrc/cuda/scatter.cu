// out[rows[t]] = x[t] as float32: from packed rows to the places that the caller's batch, padded or not, has for them.
// A block has a row; 16 bytes a thread where rows are multiples of that.
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads) scatter_rows(const T* x, const std::int64_t* rows, int width, float* out) {
  let_next_start();
  wait_for_previous();
  const std::int64_t row = rows[blockIdx.x];
  if (row < 0) return;
  x += std::size_t{blockIdx.x} * static_cast<std::size_t>(width);
  out += static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
  for (int i = static_cast<int>(threadIdx.x) * kStep; i < width; i += kThreads * kStep) {
    float values[kStep];
    load_row(x + i, values);
    store_row(out + i, values);
  }
}

}  // namespace

cudaError_t scatter(Type type, const Scatter& args, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const bool aligned =
        args.width % kVector<T> == 0 && reinterpret_cast<std::uintptr_t>(args.out) % sizeof(Words) == 0;
    const auto kernel = aligned ? scatter_rows<kVector<T>, T> : scatter_rows<1, T>;
    return launch(kernel, dim3(static_cast<unsigned>(args.count)), dim3(kThreads), 0, stream,
                  static_cast<const T*>(args.x), args.rows, static_cast<int>(args.width), args.out);
  });
}

}  // namespace filbert::cuda
