// Splits per-token ops over the threads: many tokens by rows, a few by the columns of each op.
#include "cpu/token_ops.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

// Activations of the CPU are float32.
const float* floats(const void* activation) { return static_cast<const float*>(activation); }
float* floats(void* activation) { return static_cast<float*>(activation); }

PanelMatrix matrix_of(const filbert_weight& w) {
  const float* const factors = w.factors.empty() ? nullptr : w.factors.data();
  return {w.data, w.columns, w.cols, w.rows, w.scales.data(), w.offsets.data(), factors, w.plain.data()};
}

std::size_t panels_of(const LinearKernel& kernel, const filbert_linear_args& args) {
  return (args.weight->columns + kernel.format.panel_width - 1) / kernel.format.panel_width;
}

// The width of what an op reads as its x, and of what it writes to out; 0 of one that works in place.
std::size_t width_of(const filbert_token_op& op) {
  if (op.kind == FILBERT_EMBED) return op.args.embed.width;
  if (op.kind == FILBERT_LINEAR) return op.args.linear.weight->rows;
  return op.kind == FILBERT_NORM ? op.args.norm.width : 0;
}

void check(const RowKernels& kernels, const filbert_token_op* ops, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (ops[i].kind != FILBERT_LINEAR && !kernels.run(ops[i], 0, 0, nullptr, nullptr))
      throw std::invalid_argument("unknown op " + std::to_string(ops[i].kind));
}

const void* x_of(const filbert_token_op& op) { return op.kind == FILBERT_NORM ? op.args.norm.x : nullptr; }

void* out_of(const filbert_token_op& op) {
  return op.kind == FILBERT_NORM ? op.args.norm.out : op.kind == FILBERT_EMBED ? op.args.embed.out : nullptr;
}

// What up to `rows` rows need, in floats: an operand, what an op hands to the next (twice, for an op reads one
// while it writes the other), and the kernel's own.
struct ScratchSizes {
  std::size_t operand = 0, handed = 0, kernel = 0;

  ScratchSizes(const LinearKernel& linear, const filbert_token_op* ops, std::size_t count, std::size_t rows) {
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
  std::size_t total() const { return operand + 2 * handed + kernel; }
};

// A few rows that a norm leaves in L1 until they are an operand of the next layer.
constexpr std::size_t kNormRows = 8;

// A few rows on their way through the ops.
class RowShare {
 public:
  RowShare(const Kernels& kernels, const LinearKernel& kernel, const ScratchSizes& sizes, std::size_t begin,
           std::size_t end, float* scratch)
      : kernels_(kernels),
        kernel_(kernel),
        begin_(begin),
        rows_(end - begin),
        operand_(scratch),
        handed_{operand_ + sizes.operand, operand_ + sizes.operand + sizes.handed},
        scratch_(handed_[1] + sizes.handed) {}

  // next: the op after it, or null.
  void run(const filbert_token_op& op, const filbert_token_op* next) {
    const bool alone = op.readers == FILBERT_NEXT_ALONE;
    if (op.kind == FILBERT_LINEAR) {
      linear(op.args.linear, 0, panels_of(kernel_, op.args.linear), alone, next && next->kind == FILBERT_LINEAR);
      return;
    }
    const std::size_t width = width_of(op);
    const float* const x = floats_ ? floats_ : x_of(op) ? floats(x_of(op)) + begin_ * width : nullptr;
    float* const out = alone ? handed_[turn_] : floats(out_of(op)) + begin_ * width;
    const bool pack = width > 0 && op.readers != FILBERT_OTHERS && next && next->kind == FILBERT_LINEAR && kernel_.pack;
    const std::size_t step = pack ? kNormRows : rows_;
    for (std::size_t row = 0; row < rows_; row += step) {
      const std::size_t end = std::min(rows_, row + step);
      kernels_.rows.run(op, begin_ + row, begin_ + end, x ? x + row * width : nullptr, out + row * width);
      if (pack) kernel_.pack(out, row, end, rows_, matrix_of(*next->args.linear.weight), operand_);
    }
    hand(alone ? out : nullptr, pack ? operand_ : nullptr);
  }

  // Panels [panel_begin, panel_end). alone: only the next op reads the result, which stays in the scratch.
  void linear(const filbert_linear_args& args, std::size_t panel_begin, std::size_t panel_end, bool alone,
              bool to_linear) {
    const std::size_t outputs = args.weight->rows;
    LinearTask task = {};
    task.rows = rows_;
    task.weight = matrix_of(*args.weight);
    task.gated = args.weight->gated;
    task.bias = floats_of(args.bias);
    task.residual = args.residual ? floats(args.residual) + begin_ * outputs : nullptr;
    task.activation = args.activation;
    task.operand = operand(floats(args.x) + begin_ * task.weight.k, task.weight);
    task.out_is_operand = alone && to_linear && kernel_.gives_operands && outputs % kernel_.format.k_multiple == 0;
    task.out = alone ? handed_[turn_] : floats(args.out) + begin_ * outputs;
    kernel_.run(task, panel_begin, panel_end, scratch_);
    hand(alone ? handed_[turn_] : nullptr, task.out_is_operand ? handed_[turn_] : nullptr);
  }

 private:
  void hand(const float* as_floats, const void* as_operand) {
    if (as_floats) turn_ = 1 - turn_;
    floats_ = as_floats;
    ready_ = as_operand;
  }

  const void* operand(const float* x, const PanelMatrix& weight) const {
    if (ready_) return ready_;
    if (floats_) x = floats_;
    if (!kernel_.pack) return x;
    kernel_.pack(x, 0, rows_, rows_, weight, operand_);
    return operand_;
  }

  const Kernels& kernels_;
  const LinearKernel& kernel_;
  std::size_t begin_, rows_;
  float *operand_, *handed_[2], *scratch_;
  int turn_ = 0;                   // of the two
  const void* ready_ = nullptr;    // what the next layer multiplies, or null:
  const float* floats_ = nullptr;  // what the next op reads instead of its x, or null
};

// The tokens in shares of about share_rows, as many for each thread, and all ops on one share before the next.
void run_by_rows(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  const LinearKernel& linear = context.linear;
  const auto threads = static_cast<std::size_t>(context.pool.threads());
  const std::size_t grain = linear.row_grain;
  const std::size_t shares = round_up((tokens + linear.share_rows - 1) / linear.share_rows, threads);
  const auto begin_of = [&](std::size_t share) {
    return share == shares ? tokens : (share * tokens / shares + grain / 2) / grain * grain;
  };
  const ScratchSizes sizes(linear, ops, count, tokens / shares + grain + 1);
  context.pool.run(shares, sizes.total(), [&](std::size_t share, float* scratch) {
    RowShare rows(context.kernels, linear, sizes, begin_of(share), begin_of(share + 1), scratch);
    for (std::size_t i = 0; i < count; ++i) rows.run(ops[i], i + 1 < count ? &ops[i + 1] : nullptr);
  });
}

// A linear op on all tokens, its output columns split so that every thread has something to do.
void run_by_columns(filbert_context& context, const filbert_token_op& op, std::size_t tokens) {
  const LinearKernel& linear = context.linear;
  const filbert_linear_args& args = op.args.linear;
  const std::size_t panels = panels_of(linear, args);
  const std::size_t row_shares = (tokens + linear.share_rows - 1) / linear.share_rows;
  const std::size_t wanted = 4 * static_cast<std::size_t>(context.pool.threads());
  const std::size_t panel_shares = std::clamp<std::size_t>((wanted + row_shares - 1) / row_shares, 1, panels);
  const ScratchSizes sizes(linear, &op, 1, (tokens + row_shares - 1) / row_shares);
  context.pool.run(row_shares * panel_shares, sizes.total(), [&](std::size_t share, float* scratch) {
    const std::size_t row = share / panel_shares;
    const std::size_t column = share % panel_shares;
    RowShare(context.kernels, linear, sizes, row * tokens / row_shares, (row + 1) * tokens / row_shares, scratch)
        .linear(args, column * panels / panel_shares, (column + 1) * panels / panel_shares, false, false);
  });
}

// With this many rows for each thread, a share of the rows goes through all ops at once.
constexpr std::size_t kRowsPerThread = 48;

}  // namespace

void run_token_ops(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  check(context.kernels.rows, ops, count);
  if (tokens == 0) return;
  if (tokens >= kRowsPerThread * static_cast<std::size_t>(context.pool.threads()))
    return run_by_rows(context, ops, count, tokens);
  for (std::size_t i = 0; i < count; ++i)
    if (ops[i].kind == FILBERT_LINEAR)
      run_by_columns(context, ops[i], tokens);
    else
      context.kernels.rows.run(ops[i], 0, tokens, floats(x_of(ops[i])), floats(out_of(ops[i])));
}

}  // namespace filbert::cpu
