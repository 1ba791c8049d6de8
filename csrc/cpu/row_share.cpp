#include "cpu/row_share.h"

#include <algorithm>

#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

// A few rows that a norm leaves in L1 until they are an operand of the next layer.
constexpr std::size_t kNormRows = 8;

// Activations of the CPU are float32.
const float* floats(const void* activation) { return static_cast<const float*>(activation); }
float* floats(void* activation) { return static_cast<float*>(activation); }

PanelMatrix matrix_of(const filbert_weight& w) {
  const float* const factors = w.factors.empty() ? nullptr : w.factors.data();
  return {w.data, w.columns, w.cols, w.rows, w.scales.data(), w.offsets.data(), factors, w.plain.data()};
}

// The width of what an op reads as its x, and of what it writes to out; 0 of one that works in place.
std::size_t width_of(const filbert_token_op& op) {
  if (op.kind == FILBERT_EMBED) return op.args.embed.width;
  if (op.kind == FILBERT_LINEAR) return op.args.linear.weight->rows;
  return op.kind == FILBERT_NORM ? op.args.norm.width : 0;
}

const void* x_of(const filbert_token_op& op) { return op.kind == FILBERT_NORM ? op.args.norm.x : nullptr; }

void* out_of(const filbert_token_op& op) {
  return op.kind == FILBERT_NORM ? op.args.norm.out : op.kind == FILBERT_EMBED ? op.args.embed.out : nullptr;
}

}  // namespace

ShareSizes::ShareSizes(const LinearKernel& linear, const filbert_token_op* ops, std::size_t count, std::size_t rows) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t width = width_of(ops[i]);
    if (ops[i].readers == FILBERT_NEXT_ALONE)
      handed = std::max(handed, round_up(std::max(rows * width, linear.operand(rows, width)), 16));
    if (ops[i].kind != FILBERT_LINEAR) continue;
    const filbert_weight& weight = *ops[i].args.linear.weight;
    if (linear.pack) operand = std::max(operand, round_up(linear.operand(rows, weight.cols), 16));
    kernel = std::max(kernel, linear.scratch(rows, weight.cols, weight.gated));
  }
}

RowShare::RowShare(const Kernels& kernels, const LinearKernel& kernel, const ShareSizes& sizes, std::size_t begin,
                   std::size_t end, float* buffers)
    : kernels_(kernels),
      kernel_(kernel),
      begin_(begin),
      rows_(end - begin),
      operand_(buffers),
      handed_{buffers + sizes.operand, buffers + sizes.operand + sizes.handed} {}

void RowShare::prepare(const filbert_token_op& op, const filbert_token_op* next) {
  op_ = &op;
  alone_ = op.readers == FILBERT_NEXT_ALONE;
  const bool to_linear = next && next->kind == FILBERT_LINEAR;
  if (op.kind == FILBERT_LINEAR) return prepare_linear(op.args.linear, to_linear);
  const std::size_t width = width_of(op);
  x_ = floats_ ? floats_ : x_of(op) ? floats(x_of(op)) + begin_ * width : nullptr;
  out_ = alone_ ? handed_[turn_] : floats(out_of(op)) + begin_ * width;
  packs_ = width > 0 && op.readers != FILBERT_OTHERS && to_linear && kernel_.pack;
  if (packs_) next_ = matrix_of(*next->args.linear.weight);
}

void RowShare::prepare_linear(const filbert_linear_args& args, bool to_linear) {
  const std::size_t outputs = args.weight->rows;
  task_ = {};
  task_.rows = rows_;
  task_.weight = matrix_of(*args.weight);
  task_.gated = args.weight->gated;
  task_.bias = floats_of(args.bias);
  task_.residual = args.residual ? floats(args.residual) + begin_ * outputs : nullptr;
  task_.activation = args.activation;
  x_ = floats_ ? floats_ : floats(args.x) + begin_ * task_.weight.k;
  packs_ = !ready_ && kernel_.pack;
  task_.operand = ready_ ? ready_ : packs_ ? operand_ : x_;
  task_.out_is_operand = alone_ && to_linear && kernel_.gives_operands && outputs % kernel_.format.k_multiple == 0;
  task_.out = alone_ ? handed_[turn_] : floats(args.out) + begin_ * outputs;
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

void RowShare::run_rows(std::size_t begin, std::size_t end, float* scratch) const {
  const std::size_t width = width_of(*op_);
  const std::size_t step = packs_ ? kNormRows : end - begin;
  for (std::size_t row = begin; row < end; row += step) {
    const std::size_t stop = std::min(end, row + step);
    kernels_.rows.run(*op_, begin_ + row, begin_ + stop, x_ ? x_ + row * width : nullptr, out_ + row * width);
    if (packs_) kernel_.pack(out_, row, stop, rows_, next_, operand_, scratch);
  }
}

}  // namespace filbert::cpu
