// Layer norm of the rows of a matrix [tokens, width]; norm_rows.h says how.
#include "cuda/norm_rows.h"

namespace filbert::cuda {
namespace {

template <typename T>
struct MatrixRows {
  const T* x;
  std::size_t width;

  struct Row {
    const T* x;
    template <int kStep>
    __device__ __forceinline__ void load(int column, float (&values)[kStep]) const {
      load_row(x + column, values);
    }
  };
  __device__ __forceinline__ Row row(std::size_t t) const { return {x + t * width}; }
};

}  // namespace

cudaError_t norm(Type type, const Norm& args, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const MatrixRows<T> rows = {static_cast<const T*>(args.x), args.width};
    const NormTo<T> to = {args.gamma, args.beta, args.eps, args.tokens, args.width, static_cast<T*>(args.out)};
    return norm_rows(rows, to, stream);
  });
}

}  // namespace filbert::cuda
