// What attention.cu computes, bit for bit, where there are few queries: a block of 4 warps has 16 or 32 of one sequence
// and head, and its warps share each tile of 64 keys. Of scores a warp has those of 16 keys, of the output a quarter of
// the columns; largest scores, weights and their sums pass from warp to warp through shared memory. So a tile takes a
// fraction of the time, and a sequence that is alone has blocks for all multiprocessors.
//
// Up to four tiles of keys and values are on their way at once: of short sequences all.
#include "cuda/attention_tile.h"
#include "cuda/launch.h"

namespace filbert::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
static_assert(kKeys == 16 * kWarps);

// Where warps find what the others have: of each row, or each lane, a number from every warp.
template <int M>
struct Exchange {
  struct alignas(16) Four {
    float of[kWarps];
    __device__ __forceinline__ float largest() const { return fmaxf(fmaxf(of[0], of[1]), fmaxf(of[2], of[3])); }
    __device__ __forceinline__ float sum() const { return (of[0] + of[1]) + (of[2] + of[3]); }
  };
  Words weights[M][kWarps][32];  // the operand of mma_16x8x16 for the 16 keys of a warp
  Four sums[M][2][32], tops[M][16];
};

template <int D, int M>
struct Room {
  static constexpr int kTile = 2 * kKeys * kPitch<D>;  // keys, then values
  static constexpr int kTiles = D <= 64 ? 4 : D <= 96 ? 3 : 2;
  static constexpr std::size_t bytes(int tiles) {
    return sizeof(Exchange<M>) + std::size_t{2} * static_cast<std::size_t>(16 * M * kPitch<D> + tiles * kTile);
  }
};

__device__ __forceinline__ void wait_for_all_but(int groups) {
  if (groups >= 3)
    cp_async_wait<3>();
  else if (groups == 2)
    cp_async_wait<2>();
  else if (groups == 1)
    cp_async_wait<1>();
  else
    cp_async_wait<0>();
}

// Values of 16 keys and N times 8 columns, as operands.
template <int N, typename T>
__device__ __forceinline__ void load_values(std::uint32_t (&b)[N][2], const T* row) {
#pragma unroll
  for (int n = 0; n + 1 < N; n += 2) {
    std::uint32_t pair[4];
    ldmatrix_x4_trans(pair, row + n * 8);
    b[n][0] = pair[0], b[n][1] = pair[1], b[n + 1][0] = pair[2], b[n + 1][1] = pair[3];
  }
  if constexpr (N % 2 != 0) ldmatrix_x2_trans(b[N - 1], row + (N - 1) * 8);
}

// room: tiles that there is room for.
template <typename T, int D, int M, bool Relative>
__global__ void __launch_bounds__(kThreads, 3) few_kernel(Attention task, int room, bool aligned, bool wide) {
  let_next_start();
  constexpr int kQueries = 16 * M, N = D / 8 / kWarps, kNextRows = 16 * kPitch<D>;
  const auto [s, head, kv_head, of, first_query] = share(task, kQueries);
  wait_for_previous();
  if (first_query >= of.queries) return;

  const auto warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int queries = of.queries - first_query;
  const auto columns = static_cast<int>(task.head_size);
  auto& exchange = *reinterpret_cast<Exchange<M>*>(shared_memory());
  T* const query_tile = reinterpret_cast<T*>(shared_memory() + sizeof(Exchange<M>));
  T* const tiles = query_tile + kQueries * kPitch<D>;

  KeyRange range = {0, of.keys};
  int at[M][2];
  if constexpr (Relative) {
    range = keys_in_sight(task, of, (of.place + first_query) / kGroup * kGroup, kGroup, kKeys);
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = i * 16 + half * 8 + lane / 4;
        at[i][half] = task.batch.columns[of.asking(first_query + (query < queries ? query : 0))];
      }
  }

  const auto copy = [&, of = of, kv_head = kv_head](int tile) {
    const int begin = range.begin + tile * kKeys;
    if (begin < range.end) {
      const std::size_t token = of.first_key + static_cast<std::size_t>(begin);
      T* const to = tiles + tile % room * Room<D, M>::kTile;
      copy_tile<kKeys, D, kThreads>(to, head_of<T>(task.k, token, kv_head, task.head_size), task.k.width,
                                    of.keys - begin, columns, aligned);
      copy_tile<kKeys, D, kThreads>(to + kKeys * kPitch<D>, head_of<T>(task.v, token, kv_head, task.head_size),
                                    task.v.width, of.keys - begin, columns, aligned);
    }
    cp_async_commit();
  };
  copy_tile<kQueries, D, kThreads>(query_tile, head_of<T>(task.q, of.asking(first_query), head, task.head_size),
                                   task.q.width, queries, columns, aligned);
  for (int tile = 0; tile < room; ++tile) copy(tile);
  wait_for_all_but(room - 1);
  sync_block();  // the queries and the first tile are there

  std::uint32_t q[M][D / 16][4];
#pragma unroll
  for (int i = 0; i < M; ++i)
#pragma unroll
    for (int d = 0; d < D / 16; ++d)
      ldmatrix_x4(q[i][d], query_tile + (i * 16 + lane % 16) * kPitch<D> + lane / 16 * 8 + d * 16);

  const float unit = Relative ? 1.0f : task.scale * kLog2E;
  float out[M][N][4] = {}, top[M][2], sum[M][2] = {};
#pragma unroll
  for (int i = 0; i < M; ++i) top[i][0] = top[i][1] = -INFINITY;

  for (int tile = 0, begin = range.begin; begin < range.end; ++tile, begin += kKeys) {
    const T* const key_tile = tiles + tile % room * Room<D, M>::kTile;
    const T* const value_tile = key_tile + kKeys * kPitch<D>;
    const int keys = of.keys - begin, mine = keys - warp * 16;  // of the tile, of them from this warp's first on
    float scores[M][2][4] = {};
    if (mine > 0) {
      const T* const row = key_tile + (warp * 16 + lane % 8 + lane / 16 * 8) * kPitch<D> + lane / 8 % 2 * 8;
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        std::uint32_t pair[4];
        ldmatrix_x4(pair, row + d * 16);
        const std::uint32_t b[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
#pragma unroll
        for (int i = 0; i < M; ++i) {
          mma_16x8x16<T>(scores[i][0], q[i][d], b[0]);
          mma_16x8x16<T>(scores[i][1], q[i][d], b[1]);
        }
      }
    }
    if (mine < 16)
#pragma unroll
      for (int i = 0; i < M; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (j * 8 + lane % 4 * 2 + e % 2 >= mine) scores[i][j][e] = -INFINITY;
    if constexpr (Relative)
      relate(Relation(task, head), at, task.batch.columns + of.first_key + begin + warp * 16, mine, task.scale * kLog2E,
             kLog2E, lane, scores);
#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float largest = fmaxf(fmaxf(scores[i][0][half * 2], scores[i][0][half * 2 + 1]),
                              fmaxf(scores[i][1][half * 2], scores[i][1][half * 2 + 1]));
        largest = fmaxf(largest, shuffle_xor(largest, 1));
        largest = fmaxf(largest, shuffle_xor(largest, 2));
        if (lane % 4 == 0) exchange.tops[i][half * 8 + lane / 4].of[warp] = largest;
      }
    sync_block();  // the largest scores are there; the tile before this one is used up
    if (tile > 0) copy(tile + room - 1);

    float shrink[M][2];
#pragma unroll
    for (int i = 0; i < M; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float largest = fmaxf(top[i][half], exchange.tops[i][half * 8 + lane / 4].largest() * unit);
        const float base = finite_top<Relative>(largest);
        shrink[i][half] = exp2_approx(top[i][half] - base);
        top[i][half] = largest;
        exchange.sums[i][half][lane].of[warp] = to_weights(scores[i][0], scores[i][1], half, unit, base);
      }
      Words words;
      pack_weights<T>(words.w, scores[i][0], scores[i][1]);
      exchange.weights[i][warp][lane] = words;
    }
    wait_for_all_but(room - 2);
    sync_block();  // weights and sums are there, and the next tile

#pragma unroll
    for (int i = 0; i < M; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        sum[i][half] = fmaf(sum[i][half], shrink[i][half], exchange.sums[i][half][lane].sum());
#pragma unroll
        for (int n = 0; n < N; ++n) {
          out[i][n][half * 2] *= shrink[i][half];
          out[i][n][half * 2 + 1] *= shrink[i][half];
        }
      }
    const T* const row = value_tile + lane % 16 * kPitch<D> + lane / 16 * 8 + warp * N * 8;
#pragma unroll
    for (int group = 0; group < kWarps; ++group) {
      if (group * 16 >= keys) continue;
      std::uint32_t b[N][2];
      load_values(b, row + group * kNextRows);
#pragma unroll
      for (int i = 0; i < M; ++i) {
        const Words a = exchange.weights[i][group][lane];
#pragma unroll
        for (int n = 0; n < N; ++n) mma_16x8x16<T>(out[i][n], a.w, b[n]);
      }
    }
  }
  cp_async_wait<0>();

#pragma unroll
  for (int i = 0; i < M; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float inverse = inverse_of_quad(sum[i][half]);
      const int query = i * 16 + half * 8 + lane / 4;
      if (query >= queries) continue;
      T* const row = output_of<T>(task, s, of, first_query + query, head);
#pragma unroll
      for (int n = 0; n < N; ++n) {
        const int column = (warp * N + n) * 8 + lane % 4 * 2;
        const float low = out[i][n][half * 2] * inverse, high = out[i][n][half * 2 + 1] * inverse;
        if (wide) {
          if (column < columns) *reinterpret_cast<std::uint32_t*>(row + column) = pack2<T>(low, high);
        } else {
          if (column < columns) row[column] = from_float<T>(low);
          if (column + 1 < columns) row[column + 1] = from_float<T>(high);
        }
      }
    }
}

template <typename T, int D, int M>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  const auto whole = [&](const filbert_heads& heads) { return are_aligned<T>(heads, task.head_size); };
  const std::size_t tiles = (task.batch.max_length + kKeys - 1) / kKeys;
  const int room = tiles < Room<D, M>::kTiles ? static_cast<int>(tiles) : Room<D, M>::kTiles;
  return launch(is_relative(task) ? few_kernel<T, D, M, true> : few_kernel<T, D, M, false>,
                attention_grid(task, 16 * M), dim3(kThreads), Room<D, M>::bytes(room), stream, task, room,
                whole(task.q) && whole(task.k) && whole(task.v), whole({task.out, 0, 0, 0}));
}

template <typename T, int M>
cudaError_t start(const Attention& task, cudaStream_t stream) {
  if (task.head_size <= 32) return start<T, 32, M>(task, stream);
  if (task.head_size <= 64) return start<T, 64, M>(task, stream);
  if (task.head_size <= 96) return start<T, 96, M>(task, stream);
  return start<T, 128, M>(task, stream);
}

}  // namespace

cudaError_t attention_few(Type type, int queries, const Attention& task, cudaStream_t stream) {
  if (type == Type::bf16) return queries == 16 ? start<Bf16, 1>(task, stream) : start<Bf16, 2>(task, stream);
  return queries == 16 ? start<F16, 1>(task, stream) : start<F16, 2>(task, stream);
}

}  // namespace filbert::cuda
