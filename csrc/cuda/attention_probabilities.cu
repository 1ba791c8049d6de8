// The probabilities of the attention op.
#include "cuda/attention_probabilities.h"

#include "cuda/rows.h"

namespace filbert::cuda {
namespace {

struct Nothing {
  __device__ __forceinline__ float operator()(std::size_t, std::size_t, std::size_t) const { return 0.0f; }
};

}  // namespace

cudaError_t attention_probabilities(Type type, const Attention& task, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    return is_relative(task) ? start_probabilities<T, true>(task, Nothing{}, stream)
                             : start_probabilities<T, false>(task, Nothing{}, stream);
  });
}

}  // namespace filbert::cuda
