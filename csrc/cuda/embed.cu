// Sums of rows of the float32 tables of words, types and positions, and their norm without a trip of the sums through
// memory; norm_rows.h says how. Tables [rows, width]; ids, types and positions [tokens]; out [tokens, width].
#include "cuda/norm_rows.h"

namespace filbert::cuda {
namespace {

constexpr int kThreads = 128;

template <typename T>
struct TableRows {
  using Number = T;
  filbert_embed_args args;
  const float* word;
  const float* type;
  const float* position;
  void* out;

  TableRows(const filbert_embed_args& of, void* to)
      : args(of), word(floats_of(of.word)), type(floats_of(of.type)), position(floats_of(of.position)), out(to) {}

  struct Row {
    const float* word;
    const float* type;
    const float* position;
    float word_scale;

    template <int kStep>
    struct Sum {
      Loaded<kStep, float> word = {}, type = {}, position = {};
      float word_scale;
      bool has_type, has_position;

      __device__ __forceinline__ void unpack(float (&values)[kStep]) const {
        word.unpack(values);
#pragma unroll
        for (int i = 0; i < kStep; ++i) values[i] *= word_scale;
        if (has_type) add(type, values);
        if (has_position) add(position, values);
      }
      __device__ __forceinline__ static void add(const Loaded<kStep, float>& loaded, float (&values)[kStep]) {
        float more[kStep];
        loaded.unpack(more);
#pragma unroll
        for (int i = 0; i < kStep; ++i) values[i] += more[i];
      }
    };

    template <int kStep>
    __device__ __forceinline__ Sum<kStep> read(int column) const {
      Sum<kStep> sum;
      if (word) sum.word.load(word + column);
      if (type) sum.type.load(type + column);
      if (position) sum.position.load(position + column);
      sum.word_scale = word_scale;
      sum.has_type = type != nullptr;
      sum.has_position = position != nullptr;
      return sum;
    }
  };

  __device__ __forceinline__ Row from(std::size_t t) const {
    const float word_scale = args.word_scales ? args.word_scale * args.word_scales[t] : args.word_scale;
    return {find(word, args.ids, t), find(type, args.types, t), find(position, args.positions, t), word_scale};
  }
  __device__ __forceinline__ T* to(std::size_t t) const { return static_cast<T*>(out) + t * args.width; }
  __device__ __forceinline__ const T* residual(std::size_t) const { return nullptr; }

 private:
  __device__ __forceinline__ const float* find(const float* table, const std::int32_t* indices, std::size_t t) const {
    return table ? table + static_cast<std::size_t>(indices[t]) * args.width : nullptr;
  }
};

// A block has a token.
template <int kStep, typename T>
__global__ void __launch_bounds__(kThreads) embed_rows(TableRows<T> rows) {
  let_next_start();
  wait_for_previous();
  const auto from = rows.from(blockIdx.x);
  T* to = rows.to(blockIdx.x);
  const int width = static_cast<int>(rows.args.width);
  for (int i = static_cast<int>(threadIdx.x) * kStep; i < width; i += kThreads * kStep) {
    float values[kStep];
    from.template read<kStep>(i).unpack(values);
    store_row(to + i, values);
  }
}

}  // namespace

cudaError_t embed(Type type, const filbert_embed_args& args, std::size_t tokens, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const auto kernel = args.width % kVector<T> == 0 ? embed_rows<kVector<T>, T> : embed_rows<1, T>;
    const TableRows<T> rows(args, args.out);
    return launch(kernel, dim3(static_cast<unsigned>(tokens)), dim3(kThreads), 0, stream, rows);
  });
}

cudaError_t embed_norm(Type type, const filbert_embed_args& args, const filbert_norm_args& of, std::size_t tokens,
                       cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const TableRows<T> rows(args, of.out);
    const RowNorm norm = {of.kind, floats_of(of.gamma), floats_of(of.beta), of.eps, tokens, args.width};
    if (args.width % kVector<T> == 0) return norm_in_steps<kVector<T>>(rows, norm, stream);
    return norm_in_steps<1>(rows, norm, stream);
  });
}

}  // namespace filbert::cuda
