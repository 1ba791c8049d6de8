// Some rows on their way through a list of token ops: what an op hands to the next stays in one buffer, as floats or as
// the operand of a product.
#pragma once

#include <cstddef>

#include "cpu/kernels.h"

struct filbert_context;

namespace filbert::cpu {

// The heads that an op works on in place, or null.
const filbert_heads* heads_of(const filbert_token_op& op);

// Whether RowShare::run_pair takes these two.
bool is_pair(const LinearKernel& kernel, const filbert_token_op& op, const filbert_token_op* next);

// What up to `rows` rows need, in floats.
struct ShareSizes {
  std::size_t operand = 0;  // of a linear op
  std::size_t handed = 0;   // from one op to the next; twice, for an op reads one while it writes the other
  std::size_t sums = 0;     // of pairs
  std::size_t heads = 0;    // before they go to their places
  std::size_t kernel = 0;   // the kernel's own, of each thread that works on the rows

  // paired: pairs are run as such.
  ShareSizes(const filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t rows,
             bool paired);
  std::size_t buffers() const { return operand + 2 * handed + sums + heads; }
};

// An op at a time: prepare, then all of its parts, by any threads, then hand_on.
class RowShare {
 public:
  // Rows [begin, end) of all `tokens`; buffers: sizes.buffers() floats.
  RowShare(const filbert_context& context, const ShareSizes& sizes, std::size_t tokens, std::size_t begin,
           std::size_t end, float* buffers);

  // next: the op after it, or null.
  void prepare(const filbert_token_op& op, const filbert_token_op* next);
  void hand_on();

  std::size_t rows() const { return rows_; }
  // Parts of a linear op: of its rows, if they are to be packed, then of its columns.
  bool packs() const { return packs_; }
  std::size_t panels() const;
  void pack(std::size_t begin, std::size_t end, float* scratch) const;
  void multiply(std::size_t panel_begin, std::size_t panel_end, float* scratch) const;
  // All of a linear op and the next one, which alone reads its result, from prepare to hand_on, in slices of what lies
  // between them. after: the op after both, or null.
  void run_pair(const filbert_token_op& op, const filbert_token_op& next, const filbert_token_op* after,
                float* scratch);
  // Parts of another op.
  void run_rows(std::size_t begin, std::size_t end, float* scratch) const;

 private:
  void prepare_linear(const filbert_linear_args& args, const filbert_token_op* next);
  void prepare_heads(const filbert_heads& heads, const filbert_token_op* next);

  const RowKernels& row_kernels_;
  const LinearKernel& kernel_;
  decltype(AttentionKernel::put_heads) put_heads_;
  std::size_t tokens_, begin_, rows_;
  float *operand_, *handed_[2], *sums_, *heads_;
  int turn_ = 0;                   // of the two
  const void* ready_ = nullptr;    // what the next op multiplies, or null:
  const float* floats_ = nullptr;  // what the next op reads instead of its x, or null; rows handed_stride apart
  HeadPlaces places_ = {};         // of the heads that ops work on

  // Of the op that is prepared.
  const filbert_token_op* op_ = nullptr;
  Strided<const float> x_ = {};  // from the first of the rows on
  Strided<float> out_ = {};      // the same
  bool alone_ = false;           // out is one of the two buffers
  bool packs_ = false;           // a linear op: its x; another: its out, for next_
  bool puts_heads_ = false;      // the last op on heads
  PanelMatrix next_ = {};
  LinearTask task_ = {};
};

}  // namespace filbert::cpu
