// Sums of rows of the float32 tables of words, types and positions, and their layer norm, without a trip of the sums
// through memory; norm_rows.h says how. Tables [rows, width]; ids, types and positions [tokens]; out [tokens, width].
#include "cuda/norm_rows.h"

namespace filbert::cuda {
namespace {

struct TableRows {
  const std::int32_t* ids;
  const std::int32_t* types;
  const std::int32_t* positions;
  const float* word;
  const float* type;
  const float* position;
  std::size_t width;

  struct Row {
    const float* word;
    const float* type;
    const float* position;

    template <int kStep>
    __device__ __forceinline__ void load(int column, float (&values)[kStep]) const {
      load_row(word + column, values);
      add(type, column, values);
      add(position, column, values);
    }

   private:
    template <int kStep>
    __device__ __forceinline__ static void add(const float* row, int column, float (&values)[kStep]) {
      if (!row) return;
      float more[kStep];
      load_row(row + column, more);
#pragma unroll
      for (int i = 0; i < kStep; ++i) values[i] += more[i];
    }
  };

  __device__ __forceinline__ Row row(std::size_t t) const {
    return {find(word, ids, t), find(type, types, t), find(position, positions, t)};
  }

 private:
  __device__ __forceinline__ const float* find(const float* table, const std::int32_t* indices, std::size_t t) const {
    return table ? table + static_cast<std::size_t>(indices[t]) * width : nullptr;
  }
};

}  // namespace

cudaError_t embed_norm(Type type, const EmbedNorm& args, cudaStream_t stream) {
  return with_type(type, [&]<typename T>(T*) {
    const TableRows rows = {args.ids, args.types, args.positions, args.word, args.type, args.position, args.width};
    const NormTo<T> to = {args.gamma, args.beta, args.eps, args.tokens, args.width, static_cast<T*>(args.out)};
    return norm_rows(rows, to, stream);
  });
}

}  // namespace filbert::cuda
