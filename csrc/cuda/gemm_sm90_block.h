// What a block of the matrix product on sm_90 does. A producer, one thread, has the copy engine fill a ring of stages,
// each with some boxes, 64 of k of a tile's rows, of both matrices; groups of four warps multiply them. Barriers say
// which stages are full and which are empty again.
//
// Few tokens: a tile is 64 rows by a few columns, so that many blocks share the matrix. It is on its way before the
// kernel before this one has ended.
// Many tokens: a block stays on its multiprocessor and goes from tile to tile. Two blocks, a cluster, have tiles of the
// same columns and bring each other half of the matrix's rows, since what L2 gives would not suffice. 128 x 256: two
// groups share a tile. Otherwise they take turns with tiles of their own, and one's epilogue hides behind the other's
// products.
#pragma once

#include <algorithm>

#include "cuda/gemm_epilogue.h"
#include "cuda/tensor_map.h"

namespace filbert::cuda {

inline constexpr unsigned kBoxRow = kBoxColumns * 2;  // bytes

// Stages: 0 for as many as fit. Each stage costs a small tile some 300 cycles beside 25 for each 16 of k, so it has
// several boxes there.
template <int Rows, int Columns, int Groups, bool InTurns, int Stages, int Cluster, int Boxes = 1>
struct Sm90Shape {
  static constexpr int kRows = Rows, kColumns = Columns, kGroups = Groups, kStages = Stages, kCluster = Cluster;
  static constexpr bool kInTurns = InTurns, kIsSmall = kStages == 0;
  static constexpr int kProducers = kIsSmall ? 32 : 128;  // of which one works; registers change hands by four warps
  static constexpr int kThreads = 128 * Groups + kProducers;
  static constexpr int kGroupRows = InTurns ? Rows : Rows / Groups;
  static constexpr int kProducts = kGroupRows / 64;
  static constexpr int kBoxes = Boxes;  // of each matrix in a stage, one after the other along k
  static constexpr int kReaders = 4 * (InTurns ? 1 : Groups) * Cluster;             // warps that read a stage
  static constexpr unsigned kXBytes = Rows * kBoxRow, kWBytes = Columns * kBoxRow;  // of a box
  static_assert(kWBytes / Cluster % 1024 == 0 && kProducts * 64 == kGroupRows);
};

template <typename Shape>
__host__ __device__ constexpr unsigned steps_of(std::size_t k) {
  constexpr std::size_t kDepth = kBoxColumns * Shape::kBoxes;
  return static_cast<unsigned>((k + kDepth - 1) / kDepth);
}

// How the ring of a launch is cut. Where there are fewer tokens than rows in a tile, x takes as little room as they
// need: what a product reads behind them are other stages, and rows of the output that nobody stores.
struct RingSize {
  unsigned stages, x_bytes, stage_bytes;  // x_bytes: of a box

  // To a multiple of 1024, and what may be read behind the last x.
  template <typename Shape>
  static constexpr std::size_t other_bytes() {
    return 1024 + (Shape::kIsSmall ? Shape::kXBytes : 0);
  }

  template <typename Shape>
  static RingSize of(std::size_t tokens, std::size_t k, std::size_t budget) {
    if constexpr (!Shape::kIsSmall) return fixed<Shape>();
    const auto rows = static_cast<unsigned>(std::min<std::size_t>(Shape::kRows, (tokens + 7) / 8 * 8));
    const unsigned x = rows * kBoxRow, stage = (x + Shape::kWBytes) * Shape::kBoxes;
    const auto most = static_cast<unsigned>((budget - other_bytes<Shape>()) / (stage + 2 * sizeof(Barrier)));
    return {std::min(steps_of<Shape>(k), most), x, stage};
  }
  template <typename Shape>
  __host__ __device__ static constexpr RingSize fixed() {
    return {Shape::kStages, Shape::kXBytes, (Shape::kXBytes + Shape::kWBytes) * Shape::kBoxes};
  }

  template <typename Shape>
  std::size_t shared_bytes() const {
    return other_bytes<Shape>() + stages * (stage_bytes + 2 * sizeof(Barrier));
  }
};

// What an epilogue needs to know of a warp's 16 rows of one product.
template <int Columns>
struct WarpShape {
  static constexpr int kM = 1, kN = Columns / 8;
};

// The tiles of an output, in pairs of rows where blocks are in pairs. Sixteen rows of them go over all columns
// together: what runs at a time shares rows of both matrices in L2.
template <typename Shape>
struct Tiles {
  unsigned down, across;

  Tiles(std::size_t tokens, std::size_t n)
      : down(static_cast<unsigned>((tokens + Shape::kRows * Shape::kCluster - 1) / (Shape::kRows * Shape::kCluster))),
        across(static_cast<unsigned>((n + Shape::kColumns - 1) / Shape::kColumns)) {}

  __device__ __forceinline__ unsigned count() const { return down * across; }
  __device__ __forceinline__ void corner(unsigned tile, int& row, int& column) const {
    constexpr unsigned kBand = 16;
    const unsigned band = tile / (kBand * across), inside = tile % (kBand * across);
    const unsigned height = down - band * kBand < kBand ? down - band * kBand : kBand;
    const unsigned r = (band * kBand + inside % height) * Shape::kCluster + (Shape::kCluster > 1 ? cluster_rank() : 0);
    row = static_cast<int>(r * Shape::kRows);
    column = static_cast<int>(inside / height * Shape::kColumns);
  }
};

// A place in the ring, and the parity of the phases of its barriers.
struct Cursor {
  unsigned slot, parity;

  __device__ __forceinline__ Cursor(unsigned used, unsigned stages) : slot(used % stages), parity(used / stages % 2) {}
  __device__ __forceinline__ void next(unsigned stages) {
    if (++slot == stages) slot = 0, parity ^= 1;
  }
};

template <typename Shape>
struct Ring {
  RingSize size;
  std::byte* stages;
  Barrier *full, *empty;

  __device__ __forceinline__ explicit Ring(const RingSize& of_launch) : size(of_launch) {
    if constexpr (!Shape::kIsSmall) size = RingSize::fixed<Shape>();
    const std::uint32_t past = shared_address(shared_memory()) % 1024;
    stages = shared_memory() + (past ? 1024 - past : 0);
    full = reinterpret_cast<Barrier*>(stages + size.stages * size.stage_bytes);
    empty = full + size.stages;
  }
  __device__ __forceinline__ void prepare() const {
    for (unsigned i = threadIdx.x; i < size.stages; i += blockDim.x) {
      barrier_init(full + i, 1);
      barrier_init(empty + i, Shape::kReaders);
    }
    barriers_are_made();
    if constexpr (Shape::kCluster > 1)
      sync_cluster();
    else
      sync_block();
  }
  __device__ __forceinline__ std::byte* x(unsigned slot, int box) const {
    return stages + slot * size.stage_bytes + static_cast<unsigned>(box) * size.x_bytes;
  }
  __device__ __forceinline__ std::byte* w(unsigned slot, int box) const {
    return x(slot, Shape::kBoxes) + static_cast<unsigned>(box) * Shape::kWBytes;
  }
  // By each warp that has read the stage.
  __device__ __forceinline__ void release(unsigned slot) const {
    const unsigned lane = threadIdx.x % 32;
    if constexpr (Shape::kCluster > 1) {
      if (lane < Shape::kCluster) barrier_arrive_at(empty + slot, lane);
    } else {
      if (lane == 0) barrier_arrive(empty + slot);
    }
  }
};

template <typename Shape>
__device__ __forceinline__ void produce(const Ring<Shape>& ring, const Tiles<Shape>& tiles, unsigned steps,
                                        const TensorMap& x, const TensorMap& w) {
  const auto column_of = [](unsigned step, int box) {
    return (static_cast<int>(step) * Shape::kBoxes + box) * kBoxColumns;
  };
  const auto bring_w = [&](unsigned slot, unsigned step, int column) {
    barrier_expect(ring.full + slot, ring.size.stage_bytes);
#pragma unroll
    for (int box = 0; box < Shape::kBoxes; ++box) {
      const int k = column_of(step, box);
      if constexpr (Shape::kCluster > 1) {
        constexpr int kPart = Shape::kColumns / Shape::kCluster;
        const auto rank = static_cast<int>(cluster_rank());
        copy_box_to_all(ring.w(slot, box) + static_cast<unsigned>(rank * kPart) * kBoxRow, w, k, column + rank * kPart,
                        ring.full + slot, (1 << Shape::kCluster) - 1);
      } else {
        copy_box(ring.w(slot, box), w, k, column, ring.full + slot);
      }
    }
  };
  const unsigned first = blockIdx.x / Shape::kCluster, clusters = gridDim.x / Shape::kCluster;
  const unsigned early = steps < ring.size.stages ? steps : ring.size.stages;
  int row, column;
  tiles.corner(first, row, column);
  for (unsigned i = 0; i < early; ++i) bring_w(i, i, column);
  wait_for_previous();
  Cursor at(0, ring.size.stages);
  unsigned filled = 0;
  for (unsigned tile = first; tile < tiles.count(); tile += clusters) {
    tiles.corner(tile, row, column);
#pragma unroll 1  // it has few registers
    for (unsigned step = 0; step < steps; ++step, ++filled, at.next(ring.size.stages)) {
      if (filled >= early) {
        if (filled >= ring.size.stages) barrier_wait(ring.empty + at.slot, at.parity ^ 1);
        bring_w(at.slot, step, column);
      }
#pragma unroll
      for (int box = 0; box < Shape::kBoxes; ++box)
        copy_box(ring.x(at.slot, box), x, column_of(step, box), row, ring.full + at.slot);
    }
  }
  // Not before: blocks of the next kernel would crowd on the multiprocessors that this one leaves free.
  if constexpr (!Shape::kIsSmall) let_next_start();
}

template <typename Shape, bool Gated, typename T>
__device__ __forceinline__ void consume(const Ring<Shape>& ring, const Tiles<Shape>& tiles, unsigned steps,
                                        const Linear& task, bool wide) {
  constexpr int kColumns = Shape::kColumns, kProducts = Shape::kProducts;
  using TileEpilogue = Epilogue<WarpShape<kColumns>, T, Gated>;
  const int group = static_cast<int>(threadIdx.x / 128), warp = static_cast<int>(threadIdx.x / 32 % 4);
  const int first_row = Shape::kInTurns || Shape::kGroups == 1 ? 0 : group * Shape::kGroupRows;
  const auto epilogue_of = [&](int row, int column, int product) {
    return TileEpilogue{task, static_cast<std::size_t>(row + first_row + product * 64 + warp * 16),
                        static_cast<std::size_t>(Gated ? column / 2 : column)};
  };
  int row, column;
  typename TileEpilogue::Early early;  // of the only product of a small tile
  if constexpr (Shape::kIsSmall) {     // a block has one tile
    tiles.corner(blockIdx.x, row, column);
    epilogue_of(row, column, 0).read_bias(early);
  }
  wait_for_previous();
  if constexpr (Shape::kIsSmall) epilogue_of(row, column, 0).read_residual(early, wide);
  // In turns, a group multiplies only when the other has done so. Without that it could take the end of a phase of
  // `full` that is the other's for its own: a wait knows the parity of a phase, not its number.
  constexpr int kMyTurn = 2;
  if (Shape::kInTurns && group == 1) group_arrive(kMyTurn, 256);
  const unsigned first = blockIdx.x / Shape::kCluster, clusters = gridDim.x / Shape::kCluster;
  constexpr unsigned kTurns = Shape::kInTurns ? 2 : 1;
  for (unsigned turn = Shape::kInTurns ? static_cast<unsigned>(group) : 0; first + turn * clusters < tiles.count();
       turn += kTurns) {
    tiles.corner(first + turn * clusters, row, column);
    Accumulators<WarpShape<kColumns>> sums[kProducts];
    if (Shape::kInTurns) group_sync(kMyTurn + group, 256);
    Cursor at(turn * steps, ring.size.stages);
    unsigned last = at.slot;
    for (unsigned step = 0; step < steps; ++step, at.next(ring.size.stages)) {
      const Boxed x(ring.x(at.slot, 0) + static_cast<unsigned>(first_row) * kBoxRow), w(ring.w(at.slot, 0));
      barrier_wait(ring.full + at.slot, at.parity);
      products_begin();
#pragma unroll
      for (int box = 0; box < Shape::kBoxes; ++box) {
        const unsigned of_x = static_cast<unsigned>(box) * ring.size.x_bytes;
        const unsigned of_w = static_cast<unsigned>(box) * Shape::kWBytes;
#pragma unroll
        for (int i = 0; i < kBoxColumns / 16; ++i)
#pragma unroll
          for (int p = 0; p < kProducts; ++p)
            multiply_64<T, kColumns>(reinterpret_cast<float (&)[kColumns / 2]>(sums[p].c),
                                     x.at(of_x + static_cast<unsigned>(p) * 64 * kBoxRow, i), w.at(of_w, i));
      }
      products_commit();
      if (step > 0) {
        products_wait<1>();
        ring.release(last);
      }
      last = at.slot;
    }
    if (Shape::kInTurns) group_arrive(kMyTurn + 1 - group, 256);
    products_wait<0>();
#pragma unroll
    for (int p = 0; p < kProducts; ++p) sums_are_there(reinterpret_cast<float (&)[kColumns / 2]>(sums[p].c));
    ring.release(last);
#pragma unroll
    for (int p = 0; p < kProducts; ++p)
      epilogue_of(row, column, p).template finish<true>(sums[p], wide, Shape::kIsSmall ? &early : nullptr);
  }
}

// What a block of a launch does.
template <typename Shape, bool Gated, typename T>
__device__ __forceinline__ void run_sm90_block(const Linear& task, const Tiles<Shape>& tiles, const RingSize& size,
                                               bool wide, const TensorMap& x, const TensorMap& w) {
  if constexpr (Shape::kIsSmall) let_next_start();
  const Ring<Shape> ring(size);
  ring.prepare();
  const unsigned steps = steps_of<Shape>(task.k);
  if (threadIdx.x >= 128 * Shape::kGroups) {
    if constexpr (!Shape::kIsSmall) leave_registers<24>();
    if (threadIdx.x == 128 * Shape::kGroups)
      produce<Shape>(ring, tiles, steps, x, w);
    else
      wait_for_previous();
    sync_warp();
  } else {
    if constexpr (!Shape::kIsSmall) take_registers<240>();
    consume<Shape, Gated, T>(ring, tiles, steps, task, wide);
  }
  if constexpr (Shape::kCluster > 1) sync_cluster();  // the other block may still write to this one's memory
}

}  // namespace filbert::cuda
