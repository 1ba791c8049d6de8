// out[t] = the rows of x at columns from `reach` before that of t to `reach` after it, side by side, zeros for what is
// no key of the sequence. A warp has a token; where the next row stands is found by stepping from its own, because
// columns grow from token to token.
#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4;

// `width` in numbers of T, which may stand for several.
template <typename T>
__global__ void __launch_bounds__(kWarp* kWarps)
    neighbour_rows(Neighbours task, const T* x, std::size_t width, T* out) {
  let_next_start();
  wait_for_previous();
  const unsigned shares = gridDim.x / static_cast<unsigned>(task.batch.sequences);
  const std::size_t s = blockIdx.x / shares;
  const std::int32_t begin = task.batch.cu_seqlens[s], end = task.batch.cu_seqlens[s + 1];
  const std::int32_t first = task.batch.key_begin ? task.batch.key_begin[s] : begin;
  const std::int32_t end_key = task.batch.key_end ? task.batch.key_end[s] : end;
  const auto token = begin + static_cast<std::int32_t>(blockIdx.x % shares * kWarps + threadIdx.x / kWarp);
  if (token >= end) return;

  const std::int32_t* columns = task.batch.columns;
  std::int32_t at = token;
  while (at > first && columns[at - 1] >= columns[token] - task.reach) --at;
  if (at < first) at = first;
  out += static_cast<std::size_t>(token) * (2 * static_cast<std::size_t>(task.reach) + 1) * width;
  for (std::int32_t away = -task.reach; away <= task.reach; ++away, out += width) {
    const bool is_there = at < end_key && columns[at] == columns[token] + away;
    for (std::size_t i = threadIdx.x % kWarp; i < width; i += kWarp)
      out[i] = is_there ? x[static_cast<std::size_t>(at) * width + i] : T{};
    at += is_there;
  }
}

template <typename T>
cudaError_t start(const Neighbours& task, std::size_t width, cudaStream_t stream) {
  const std::size_t shares = (task.batch.max_length + kWarps - 1) / kWarps;
  return launch(neighbour_rows<T>, dim3(static_cast<unsigned>(task.batch.sequences * shares)), dim3(kWarp * kWarps), 0,
                stream, task, static_cast<const T*>(task.x), width, static_cast<T*>(task.out));
}

}  // namespace

cudaError_t neighbours(Type type, const Neighbours& task, cudaStream_t stream) {
  const std::size_t bytes = task.width * size_of(type);
  if (bytes % sizeof(Words) == 0 && is_aligned(task.x) && is_aligned(task.out))
    return start<Words>(task, bytes / sizeof(Words), stream);
  return type == Type::f32 ? start<float>(task, task.width, stream) : start<std::uint16_t>(task, task.width, stream);
}

}  // namespace filbert::cuda
