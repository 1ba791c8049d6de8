// Numbers of one type from those of another, eight a thread: 16 bytes of a 16-bit type and 32 of float32 where both
// ends are aligned to 16, one by one otherwise, at the end, and from float64.
#include "cuda/launch.h"
#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kNumbers = 8;

template <typename T>
__device__ __forceinline__ float number(T value) {
  return to_float(value);
}
__device__ __forceinline__ float number(double value) { return static_cast<float>(value); }

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) convert_numbers(const From* x, std::size_t count, To* out, bool aligned) {
  let_next_start();
  wait_for_previous();
  const std::size_t begin = (std::size_t{blockIdx.x} * kThreads + threadIdx.x) * kNumbers;
  if constexpr (!std::is_same_v<From, double>) {
    if (aligned && begin + kNumbers <= count) {
      float values[kNumbers];
      load_row(x + begin, values);
      store_row(out + begin, values);
      return;
    }
  }
  for (std::size_t i = begin; i < begin + kNumbers && i < count; ++i) out[i] = from_float<To>(number(x[i]));
}

template <typename From>
cudaError_t convert_from(const void* x, std::size_t count, Type type, void* out, cudaStream_t stream) {
  return with_type(type, [&]<typename To>(To*) {
    if constexpr (std::is_same_v<From, To>) {
      return cudaMemcpyAsync(out, x, count * sizeof(To), cudaMemcpyDefault, stream);
    } else {
      const std::size_t blocks = (count + kThreads * kNumbers - 1) / (kThreads * kNumbers);
      const bool aligned =
          (reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(out)) % sizeof(Words) == 0;
      return launch(convert_numbers<From, To>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream,
                    static_cast<const From*>(x), count, static_cast<To*>(out), aligned);
    }
  });
}

}  // namespace

cudaError_t convert(filbert_dtype from, const void* x, std::size_t count, Type to, void* out, cudaStream_t stream) {
  switch (from) {
    case FILBERT_F32:
      return convert_from<float>(x, count, to, out, stream);
    case FILBERT_F16:
      return convert_from<F16>(x, count, to, out, stream);
    case FILBERT_BF16:
      return convert_from<Bf16>(x, count, to, out, stream);
    case FILBERT_F64:
      return convert_from<double>(x, count, to, out, stream);
    case FILBERT_I8:  // is never stored
      break;
  }
  return cudaErrorInvalidValue;
}

}  // namespace filbert::cuda
