// out[i] = x[rows[i]], bit for bit. A block has a row; 16 bytes a thread where rows are multiples of that.
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

// `width` in numbers of T, which may stand for several.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    gather_rows(const T* x, const std::int32_t* rows, std::size_t width, T* out) {
  let_next_start();
  wait_for_previous();
  x += static_cast<std::size_t>(rows[blockIdx.x]) * width;
  out += std::size_t{blockIdx.x} * width;
  for (std::size_t i = threadIdx.x; i < width; i += kThreads) out[i] = x[i];
}

template <typename T>
cudaError_t start(const Gather& args, std::size_t width, cudaStream_t stream) {
  return launch(gather_rows<T>, dim3(static_cast<unsigned>(args.count)), dim3(kThreads), 0, stream,
                static_cast<const T*>(args.x), args.rows, width, static_cast<T*>(args.out));
}

}  // namespace

cudaError_t gather(Type type, const Gather& args, cudaStream_t stream) {
  const std::size_t bytes = args.width * size_of(type);
  if (bytes % sizeof(Words) == 0 && is_aligned(args.x) && is_aligned(args.out))
    return start<Words>(args, bytes / sizeof(Words), stream);
  return type == Type::f32 ? start<float>(args, args.width, stream) : start<std::uint16_t>(args, args.width, stream);
}

}  // namespace filbert::cuda
