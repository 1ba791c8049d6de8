// What an instruction set implements: leaf kernels over raw pointers, called by backend.cpp with a share of the work.
#pragma once

#include <cstddef>
#include <cstdint>

#include "filbert/backend.h"

namespace filbert::cpu {

// How a matrix product wants its weights [n, k]: panels of `panel_width` columns of the transpose, n rounded up to
// `vector_width`, k to `k_multiple`, both by zeros. Panel p is [k / group, columns of p, group]: the instruction sums
// `group` neighbours along k, so a kernel reads a panel front to back. Of a gated weight, `vector_width` columns of the
// gate and as many of what it multiplies take turns, so that the epilogue has both at hand.
struct MatrixFormat {
  std::size_t panel_width;  // 1, or a multiple of 2 vector_width
  std::size_t vector_width;
  std::size_t k_multiple;
  std::size_t group;
  std::int32_t zero_point;  // int8: what activations are offset by to become unsigned
  bool in_parts = false;    // float32: split into bfloat16 parts on the way, so PanelMatrix::plain is wanted
};

struct PanelMatrix {
  const void* panels;  // float, bfloat16 or int8
  std::size_t n;       // columns in the panels
  std::size_t k;
  std::size_t outputs;          // n, or of a gated weight some half of it
  const float* scales;          // [n], int8 only: a weight is scales[column] times its integer
  const std::int32_t* offsets;  // [n], int8 only: what the activations' zero point adds to a sum
  const float* factors;         // [k] or null, int8 only: activations are multiplied by them first
  const std::uint8_t* plain;    // [panels], float32 in parts only: 1 of a panel with a column that is not to be split
};

// Rows, `stride` apart.
template <typename T>
struct Strided {
  T* data;
  std::size_t stride;
  [[gnu::always_inline]] T* row(std::size_t i) const { return data + i * stride; }  // no symbol of an ISA file
};

// Rows of heads: of floats, or of bfloat16 where the attention kernel has put_heads. The next row is `stride` numbers
// from one, the next head `next_head`.
struct HeadRows {
  const void* data;
  std::size_t stride, next_head;
};

// Where heads go as bfloat16, one after the other: [heads, rows, size].
struct HeadPlaces {
  struct Place {
    std::uint16_t* number;
    std::size_t left;  // numbers of the head from there on
  };
  std::uint16_t* data;  // row 0 of a share, in the first head
  std::size_t size;     // numbers of a head; 0: there are no such places
  std::size_t next_head;
  std::size_t column;  // what column 0 is of the first head
  [[gnu::always_inline]] Place at(std::size_t row, std::size_t columns) const {
    std::uint16_t* head = data + row * size;
    for (columns += column; columns >= size; columns -= size) head += next_head;
    return {head + columns, size - columns};
  }
};

// Pointers to the first row of a share.
struct LinearTask {
  std::size_t rows;
  const void* operand;         // [rows, k_end - k_begin], as LinearKernel::pack made it; where there is no pack, as it
  std::size_t operand_stride;  // came, and then so many floats from a row to the next
  PanelMatrix weight;
  // All of k, or a slice of whole blocks of sums. Slices come in order, and the last one gives the results.
  std::size_t k_begin, k_end;
  float* sums;            // what is added up from one slice to the next; null: it is all of k
  bool gated;             // activation(gate) times the other, without a residual
  const float* bias;      // [n] or null
  const float* residual;  // [rows, outputs] or null
  filbert_activation activation;
  std::size_t out_begin, out_end;  // of the outputs, those that out has a place for
  void* out;                       // [rows, out_end - out_begin] of floats,
  std::size_t out_stride;          // so many from a row to the next
  bool out_is_operand;             // out is an operand instead: the next layer's
  HeadPlaces heads;                // if they are there, results go to them instead
};

// Queries of some heads of one sequence that have their keys and values in common.
struct AttentionTask {
  HeadRows q;  // from the first query of the task on
  HeadRows k;  // from the first key of the sequence on
  HeadRows v;
  std::size_t heads;
  std::size_t queries;
  std::size_t keys;
  std::size_t head_size;
  float scale;
  Strided<float> out;    // as q; each head follows the one before it
  float* probabilities;  // or null: [queries, keys] of the first head, rows `probability_stride` apart
  std::size_t probability_stride;
  std::size_t probability_head_stride;
  float* scratch;  // attention.scratch(keys, head_size) floats, aligned to 64 bytes
  bool relative;   // queries do not see all keys alike, for one of the reasons below
  bool causal;
  std::ptrdiff_t first_query;         // its place among the keys; negative before the first one
  const std::int32_t* query_columns;  // [queries]
  const std::int32_t* key_columns;    // [keys]
  std::int64_t window;                // columns
  const float* bias;  // or null: of the first head and no distance; the next head's is 2 reach + 1 behind
  std::int64_t reach;
};

// Queries of one head, and what their scores have beside q k^T.
struct DisentangledTask {
  AttentionTask attention;  // of one head, with its columns, not relative
  HeadRows position_k;      // from row 0 of the table on, or null: no such term
  HeadRows position_q;      // the same
  const float* rows;        // of no distance: which row of the tables, up to `reach` on both sides
  std::int64_t reach;
  std::int64_t near_first;  // from this distance to the other one, each row follows the one before it
  std::int64_t near_last;
};

// The most that a task has of each.
struct DisentangledSizes {
  std::size_t queries, keys, distances, rows, head_size;
};

struct LinearKernel {
  MatrixFormat format;
  std::size_t share_rows;   // enough to use a weight well while it is near, few enough for activations to stay near
  std::size_t thread_rows;  // with so many for each thread, rows are split over them; with fewer, columns
  std::size_t row_grain;    // a share of rows should begin at a multiple of it
  bool gives_operands;      // LinearTask::out_is_operand may be set, if out_end - out_begin is a multiple of
                            // format.k_multiple
  std::size_t (*operand)(std::size_t rows, std::size_t k);  // floats that it takes
  // Rows [begin, end) of x [rows, k] into their place in the operand, aligned to 64 bytes. Null: x is read as it is.
  void (*pack)(Strided<const float> x, std::size_t begin, std::size_t end, std::size_t rows, const PanelMatrix&,
               float* operand, float* scratch);
  std::size_t (*scratch)(std::size_t rows, std::size_t k);  // floats of pack and run, aligned to 64 bytes
  void (*run)(const LinearTask&, std::size_t panel_begin, std::size_t panel_end, float* scratch);
  std::size_t (*sums)(std::size_t rows, std::size_t n);  // floats of LinearTask::sums; null: it takes no slices
};

struct AttentionKernel {
  std::size_t (*scratch)(std::size_t keys, std::size_t head_size);  // for as many keys as a task's queries see
  void (*run)(const AttentionTask&);
  std::size_t (*disentangled_scratch)(const DisentangledSizes&);  // as large for attention.scratch of such a task
  void (*run_disentangled)(const DisentangledTask&);
  // x [rows, width] to places that begin with a head. Null: heads are read as floats, side by side.
  void (*put_heads)(Strided<const float> x, std::size_t rows, std::size_t width, const HeadPlaces&);
};

// Keys are seen in blocks of so many, counted from the first one, where not all of them are: the order of a query's
// sums then depends on the query alone.
constexpr std::size_t kKeyBlock = 64;

// out [width] = the sum of shares[i] times row rows[i] of results, i in ascending order, + bias + residual
struct MixTask {
  const float* results;  // rows of `width` numbers
  const std::int32_t* rows;
  const float* shares;
  std::size_t count;
  std::size_t width;
  const float* bias;
  const float* residual;
  float* out;
};

struct RowKernels {
  // Rows [begin, end) of a token op other than a linear one; x and out, where the op has them, are those of row
  // `begin`, and out of an op in place what it works on. False, and nothing is done, of an op that it does not know.
  bool (*run)(const filbert_token_op&, std::size_t begin, std::size_t end, Strided<const float> x, Strided<float> out);
  void (*pool)(const float* x, std::size_t tokens, std::size_t width, filbert_pooling, bool normalize, float* out);
  // out [experts] = softmax(x router^T) of a row x [width]; router [experts, width].
  void (*route)(const float* x, const float* router, std::size_t experts, std::size_t width, float* out);
  void (*mix)(const MixTask&);
};

struct Kernels {
  const char* isa;
  LinearKernel f32, bf16, i8;
  AttentionKernel attention;       // in float32
  AttentionKernel fast_attention;  // in bfloat16 where the processor multiplies it, else in float32
  RowKernels rows;
  bool multiplies_bf16;  // else bfloat16 is widened to float32
};

// The numbers of a vector or a table; null of null. What a weight is else is not for the ISA files.
const float* floats_of(const filbert_weight* weight);

// `static`: each ISA file keeps its own copy, compiled for its instruction set.

// Sums over K longer than this are taken in equal blocks, each from zero: the order of a sum then depends on K alone,
// never on tile, batch or threads, and long sums lose less.
constexpr std::size_t kMaxKBlock = 128;

static inline std::size_t k_block(std::size_t k) {
  const std::size_t blocks = (k + kMaxKBlock - 1) / kMaxKBlock;
  return blocks == 0 ? 1 : (k + blocks - 1) / blocks;
}

// Float32 numbers that are multiplied in bfloat16 parts, as a row or a column: nothing in them is infinite or NaN, and
// the largest magnitude is 0 or in this range, so that parts that are too small for bfloat16 do not count.
constexpr float kLeastTop = 0x1p-50f;
constexpr float kMostTop = 0x1p50f;

static inline std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace filbert::cpu
