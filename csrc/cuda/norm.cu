// Norms of the rows of a matrix [tokens, width], and of heads in place; norm_rows.h says how.
#include "cuda/heads.h"
#include "cuda/norm_rows.h"

namespace filbert::cuda {
namespace {

template <typename T>
struct StoredRow {
  const T* x;
  template <int kStep>
  __device__ __forceinline__ Loaded<kStep, T> read(int column) const {
    Loaded<kStep, T> loaded;
    loaded.load(x + column);
    return loaded;
  }
};

template <typename T>
struct MatrixRows {
  using Number = T;
  const T* x;
  T* out;
  const T* more;  // or null
  std::size_t width;

  __device__ __forceinline__ StoredRow<T> from(std::size_t r) const { return {x + r * width}; }
  __device__ __forceinline__ T* to(std::size_t r) const { return out + r * width; }
  __device__ __forceinline__ const T* residual(std::size_t r) const { return more ? more + r * width : nullptr; }
};

template <typename T>
struct HeadRows {
  using Number = T;
  filbert_heads heads;
  std::size_t count, head_size;

  __device__ __forceinline__ StoredRow<T> from(std::size_t r) const { return {to(r)}; }
  __device__ __forceinline__ T* to(std::size_t r) const { return head_of<T>(heads, r / count, r % count, head_size); }
  __device__ __forceinline__ const T* residual(std::size_t) const { return nullptr; }
};

// Heads are short.
template <int kStep, typename T>
cudaError_t norm_heads(const HeadRows<T>& rows, const RowNorm& norm, cudaStream_t stream) {
  if (norm.width <= 256) return launch_by_warps<256, kStep>(rows, norm, stream);
  return launch_by_block<kStep>(rows, norm, stream);
}

}  // namespace

cudaError_t norm(Type type, const filbert_norm_args& args, std::size_t tokens, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const MatrixRows<T> rows = {static_cast<const T*>(args.x), static_cast<T*>(args.out),
                                static_cast<const T*>(args.residual), args.width};
    const RowNorm norm = {args.kind, floats_of(args.gamma), floats_of(args.beta), args.eps, tokens, args.width};
    if (args.width % kVector<T> == 0) return norm_in_steps<kVector<T>>(rows, norm, stream);
    return norm_in_steps<1>(rows, norm, stream);
  });
}

cudaError_t head_norm(Type type, const filbert_head_norm_args& args, std::size_t tokens, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const HeadRows<T> rows = {args.heads, args.count, args.head_size};
    const RowNorm norm = {args.kind, floats_of(args.gamma), floats_of(args.beta),
                          args.eps,  tokens * args.count,   args.head_size};
    if (are_aligned<T>(args.heads, args.head_size)) return norm_heads<kVector<T>>(rows, norm, stream);
    return norm_heads<1>(rows, norm, stream);
  });
}

}  // namespace filbert::cuda
