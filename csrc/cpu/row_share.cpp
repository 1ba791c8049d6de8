#include "cpu/row_share.h"

#include <algorithm>

#include "cpu/context.h"
#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

// A few rows that a norm leaves in L1 until they are an operand of the next layer, or heads in their places.
constexpr std::size_t kNormRows = 8;

// Activations of the CPU are float32.
const float* floats(const void* activation) { return static_cast<const float*>(activation); }
float* floats(void* activation) { return static_cast<float*>(activation); }

PanelMatrix matrix_of(const filbert_weight& w) {
  const float* const factors = w.factors.empty() ? nullptr : w.factors.data();
  return {w.data, w.columns, w.cols, w.rows, w.scales.data(), w.offsets.data(), factors, w.plain.data()};
}

// What an op reads as its x and what it writes to out, and how wide both are; nothing of one that works in place.
struct Ends {
  const float* x = nullptr;
  std::size_t read = 0;
  float* out = nullptr;
  std::size_t written = 0;
};

Ends ends_of(const filbert_token_op& op) {
  switch (op.kind) {
    case FILBERT_EMBED:
      return {.out = floats(op.args.embed.out), .written = op.args.embed.width};
    case FILBERT_LINEAR: {
      const filbert_linear_args& args = op.args.linear;
      return {floats(args.x), args.weight->cols, floats(args.out), args.weight->rows};
    }
    case FILBERT_NORM:
      return {floats(op.args.norm.x), op.args.norm.width, floats(op.args.norm.out), op.args.norm.width};
    case FILBERT_MULTIPLY: {
      const filbert_multiply_args& args = op.args.multiply;
      return {floats(args.x), args.width, floats(args.out), args.width};
    }
    case FILBERT_HEAD_NORM:
    case FILBERT_ROPE:
      break;
  }
  return {};
}

// Of rows that are handed on: whole lines, and one between rows. Those of 1024 or 3072 floats would all begin in the
// same set of L1, where a product's rows, or the lines that it writes, drive each other out.
std::size_t handed_stride(std::size_t width) {
  constexpr std::size_t kLine = 16;
  return round_up(width, kLine) + kLine;
}

}  // namespace

const filbert_heads* heads_of(const filbert_token_op& op) {
  if (op.kind == FILBERT_ROPE) return &op.args.rope.heads;
  return op.kind == FILBERT_HEAD_NORM ? &op.args.head_norm.heads : nullptr;
}

// Columns between the ops of a pair that stay near while they are made and used: whole blocks of sums, whole panels.
constexpr std::size_t kSlice = 3 * kMaxKBlock;

bool is_pair(const LinearKernel& kernel, const filbert_token_op& op, const filbert_token_op* next) {
  if (!kernel.sums || op.kind != FILBERT_LINEAR || op.readers != FILBERT_NEXT_ALONE) return false;
  if (!next || next->kind != FILBERT_LINEAR) return false;
  const std::size_t k = next->args.linear.weight->cols;
  return k > kSlice && k % kMaxKBlock == 0;
}

ShareSizes::ShareSizes(const filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t rows,
                       bool paired) {
  const LinearKernel& linear = context.linear;
  bool first = false;  // of a pair
  for (std::size_t i = 0; i < count; ++i) {
    first = paired && !first && i + 1 < count && is_pair(linear, ops[i], &ops[i + 1]);
    if (first) sums = std::max(sums, round_up(linear.sums(rows, ops[i + 1].args.linear.weight->columns), 16));
    const std::size_t width = first ? kSlice : ends_of(ops[i]).written;
    if (ops[i].readers == FILBERT_NEXT_ALONE)
      handed = std::max(handed, round_up(std::max(rows * handed_stride(width), linear.operand(rows, width)), 16));
    if (ops[i].kind != FILBERT_LINEAR) continue;
    const filbert_weight& weight = *ops[i].args.linear.weight;
    if (linear.pack) operand = std::max(operand, round_up(linear.operand(rows, weight.cols), 16));
    kernel = std::max(kernel, linear.scratch(rows, weight.cols));
    if (context.attention.put_heads && i + 1 < count && heads_of(ops[i + 1]))
      heads = std::max(heads, round_up(rows * handed_stride(weight.rows), 16));
  }
}

RowShare::RowShare(const filbert_context& context, const ShareSizes& sizes, std::size_t tokens, std::size_t begin,
                   std::size_t end, float* buffers)
    : row_kernels_(context.kernels.rows),
      kernel_(context.linear),
      put_heads_(context.attention.put_heads),
      tokens_(tokens),
      begin_(begin),
      rows_(end - begin),
      operand_(buffers),
      handed_{operand_ + sizes.operand, operand_ + sizes.operand + sizes.handed},
      sums_(handed_[1] + sizes.handed),
      heads_(sums_ + sizes.sums) {}

void RowShare::prepare(const filbert_token_op& op, const filbert_token_op* next) {
  op_ = &op;
  alone_ = op.readers == FILBERT_NEXT_ALONE;
  const Ends ends = ends_of(op);
  x_ = floats_ ? Strided<const float>{floats_, handed_stride(ends.read)}
               : Strided<const float>{ends.x ? ends.x + begin_ * ends.read : nullptr, ends.read};
  puts_heads_ = false;
  if (const filbert_heads* const heads = heads_of(op)) return prepare_heads(*heads, next);
  out_ = alone_ ? Strided<float>{handed_[turn_], handed_stride(ends.written)}
                : Strided<float>{ends.out + begin_ * ends.written, ends.written};
  if (op.kind == FILBERT_LINEAR) return prepare_linear(op.args.linear, next);
  packs_ = op.readers != FILBERT_OTHERS && next && next->kind == FILBERT_LINEAR && kernel_.pack;
  if (packs_) next_ = matrix_of(*next->args.linear.weight);
}

void RowShare::prepare_heads(const filbert_heads& heads, const filbert_token_op* next) {
  packs_ = false;
  puts_heads_ = put_heads_ && !(next && heads_of(*next));
  out_ = put_heads_ ? Strided<float>{heads_, handed_stride(heads.width)}
                    : Strided<float>{floats(heads.x) + begin_ * heads.width, heads.width};
}

void RowShare::prepare_linear(const filbert_linear_args& args, const filbert_token_op* next) {
  const std::size_t outputs = args.weight->rows;
  packs_ = !ready_ && kernel_.pack;
  task_ = {};
  task_.rows = rows_;
  task_.operand = ready_ ? ready_ : packs_ ? operand_ : x_.data;
  task_.operand_stride = x_.stride;
  task_.weight = matrix_of(*args.weight);
  task_.k_end = task_.weight.k;
  task_.gated = args.weight->gated;
  task_.bias = floats_of(args.bias);
  task_.residual = args.residual ? floats(args.residual) + begin_ * outputs : nullptr;
  task_.activation = args.activation;
  task_.out_end = outputs;
  if (args.head_size > 0 && put_heads_) {
    places_ = {static_cast<std::uint16_t*>(args.out) + begin_ * args.head_size, args.head_size,
               tokens_ * args.head_size, 0};
    if (next && heads_of(*next))
      out_ = {heads_, handed_stride(outputs)};
    else
      task_.heads = places_;
  }
  task_.out = out_.data;
  task_.out_stride = out_.stride;
  task_.out_is_operand = alone_ && next && next->kind == FILBERT_LINEAR && kernel_.gives_operands &&
                         outputs % kernel_.format.k_multiple == 0;
}

void RowShare::hand_on() {
  const bool is_linear = op_->kind == FILBERT_LINEAR;
  floats_ = alone_ ? handed_[turn_] : nullptr;
  ready_ = is_linear ? (task_.out_is_operand ? task_.out : nullptr) : packs_ ? operand_ : nullptr;
  if (alone_) turn_ = 1 - turn_;
}

std::size_t RowShare::panels() const {
  return (task_.weight.n + kernel_.format.panel_width - 1) / kernel_.format.panel_width;
}

void RowShare::pack(std::size_t begin, std::size_t end, float* scratch) const {
  kernel_.pack(x_, begin, end, rows_, task_.weight, operand_, scratch);
}

void RowShare::multiply(std::size_t panel_begin, std::size_t panel_end, float* scratch) const {
  kernel_.run(task_, panel_begin, panel_end, scratch);
}

void RowShare::run_pair(const filbert_token_op& op, const filbert_token_op& next, const filbert_token_op* after,
                        float* scratch) {
  prepare(op, &next);
  if (packs_) pack(0, rows_, scratch);
  LinearTask first = task_;
  hand_on();
  prepare(next, after);
  LinearTask second = task_;
  first.out_stride = second.operand_stride = handed_stride(kSlice);
  second.sums = sums_;
  const std::size_t panel_width = kernel_.format.panel_width / (first.gated ? 2 : 1);
  for (std::size_t begin = 0; begin < second.weight.k; begin += kSlice) {
    const std::size_t end = std::min(second.weight.k, begin + kSlice);
    first.out_begin = second.k_begin = begin;
    first.out_end = second.k_end = end;
    kernel_.run(first, begin / panel_width, end / panel_width, scratch);
    kernel_.run(second, 0, panels(), scratch);
  }
  hand_on();
}

void RowShare::run_rows(std::size_t begin, std::size_t end, float* scratch) const {
  const std::size_t step = packs_ || puts_heads_ ? kNormRows : end - begin;
  for (std::size_t row = begin; row < end; row += step) {
    const std::size_t stop = std::min(end, row + step);
    row_kernels_.run(*op_, begin_ + row, begin_ + stop, {x_.row(row), x_.stride}, {out_.row(row), out_.stride});
    if (puts_heads_) {
      HeadPlaces places = places_;
      places.data += row * places.size;
      put_heads_({out_.row(row), out_.stride}, stop - row, heads_of(*op_)->width, places);
    }
    if (packs_) kernel_.pack({out_.data, out_.stride}, row, stop, rows_, next_, operand_, scratch);
  }
}

}  // namespace filbert::cpu
