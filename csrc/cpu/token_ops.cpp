// Splits per-token ops over the threads: many tokens by rows, a few by the columns of each op.
#include "cpu/token_ops.h"

#include <algorithm>

#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

// Activations of the CPU are float32.
const float* floats(const void* activation) { return static_cast<const float*>(activation); }
float* floats(void* activation) { return static_cast<float*>(activation); }

const float* data_of(const filbert_weight* weight) {
  return weight ? static_cast<const float*>(weight->data) : nullptr;
}

NormTask norm_task(const filbert_weight* gamma, const filbert_weight* beta, float eps, std::size_t width) {
  return {data_of(gamma), data_of(beta), eps, width};
}

PackedMatrix matrix_of(const filbert_weight& w) {
  return {w.data, w.rows, w.cols, w.scales.data(), w.offsets.data(), w.factors.empty() ? nullptr : w.factors.data()};
}

std::size_t panels_of(const LinearKernel& kernel, const filbert_linear_args& args) {
  return (args.weight->rows + kernel.format.panel_width - 1) / kernel.format.panel_width;
}

void run_rows(const RowKernels& kernels, const filbert_token_op& op, std::size_t begin, std::size_t end) {
  if (op.kind == FILBERT_NORM) {
    const filbert_norm_args& args = op.args.norm;
    return kernels.norm(norm_task(args.gamma, args.beta, args.eps, args.width), floats(args.x), begin, end,
                        floats(args.out));
  }
  const filbert_embed_norm_args& args = op.args.embed_norm;
  kernels.embed_norm({args.ids, args.types, args.positions, data_of(args.word), data_of(args.type),
                      data_of(args.position), norm_task(args.gamma, args.beta, args.eps, args.width), floats(args.out)},
                     begin, end);
}

// What up to `rows` rows need, in floats: a packed operand, what one layer hands to the next, and the kernel's own.
struct ScratchSizes {
  std::size_t operand = 0, handed = 0, kernel = 0;

  ScratchSizes(const LinearKernel& linear, const filbert_token_op* ops, std::size_t count, std::size_t rows) {
    for (std::size_t i = 0; i < count; ++i) {
      if (ops[i].kind != FILBERT_LINEAR) continue;
      const filbert_linear_args& args = ops[i].args.linear;
      const std::size_t k = args.weight->cols;
      const std::size_t n = args.weight->rows;
      if (linear.pack) operand = std::max(operand, round_up(linear.operand(rows, k), 16));
      if (args.transient) handed = std::max(handed, round_up(std::max(rows * n, linear.operand(rows, n)), 16));
      kernel = std::max(kernel, linear.scratch(rows, k));
    }
  }
  std::size_t total() const { return operand + handed + kernel; }
};

// A few rows that a norm leaves in L1 until the next layer has packed them.
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
        handed_(operand_ + sizes.operand),
        scratch_(handed_ + sizes.handed) {}

  // next: the op after it, or null.
  void run(const filbert_token_op& op, const filbert_token_op* next) {
    if (op.kind == FILBERT_LINEAR) return linear(op.args.linear, 0, panels_of(kernel_, op.args.linear), true);
    const bool pack = op.kind == FILBERT_NORM && kernel_.pack && next && next->kind == FILBERT_LINEAR &&
                      next->args.linear.x == op.args.norm.out;
    if (!pack) return run_rows(kernels_.rows, op, begin_, begin_ + rows_);
    const PackedMatrix weight = matrix_of(*next->args.linear.weight);
    for (std::size_t row = 0; row < rows_; row += kNormRows) {
      const std::size_t end = std::min(rows_, row + kNormRows);
      run_rows(kernels_.rows, op, begin_ + row, begin_ + end);
      kernel_.pack(floats(op.args.norm.out) + begin_ * weight.k, row, end, rows_, weight, operand_);
    }
    ready_ = operand_;
  }

  // hand_over: a transient result stays in the scratch, for the next op.
  void linear(const filbert_linear_args& args, std::size_t panel_begin, std::size_t panel_end, bool hand_over) {
    const std::size_t k = args.weight->cols;
    const std::size_t n = args.weight->rows;
    const bool transient = hand_over && args.transient;
    LinearTask task = {};
    task.rows = rows_;
    task.weight = matrix_of(*args.weight);
    task.bias = data_of(args.bias);
    task.residual = args.residual ? floats(args.residual) + begin_ * n : nullptr;
    task.activation = args.activation;
    task.operand = operand(floats(args.x) + begin_ * k, task.weight);
    task.out_packed = transient && kernel_.packs_results && n % kernel_.format.k_multiple == 0;
    task.out = transient ? handed_ : floats(args.out) + begin_ * n;
    kernel_.run(task, panel_begin, panel_end, scratch_);
    ready_ = task.out_packed ? handed_ : nullptr;
    floats_ = transient ? handed_ : nullptr;
  }

 private:
  const void* operand(const float* x, const PackedMatrix& weight) const {
    if (ready_) return ready_;
    if (floats_) x = floats_;
    if (!kernel_.pack) return x;
    kernel_.pack(x, 0, rows_, rows_, weight, operand_);
    return operand_;
  }

  const Kernels& kernels_;
  const LinearKernel& kernel_;
  std::size_t begin_, rows_;
  float *operand_, *handed_, *scratch_;
  const float* ready_ = nullptr;   // what the next layer multiplies, or null:
  const float* floats_ = nullptr;  // what it reads instead of its x, or null
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
        .linear(args, column * panels / panel_shares, (column + 1) * panels / panel_shares, false);
  });
}

// With this many rows for each thread, a share of the rows goes through all ops at once.
constexpr std::size_t kRowsPerThread = 48;

}  // namespace

void run_token_ops(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  if (tokens == 0) return;
  if (tokens >= kRowsPerThread * static_cast<std::size_t>(context.pool.threads()))
    return run_by_rows(context, ops, count, tokens);
  for (std::size_t i = 0; i < count; ++i)
    if (ops[i].kind == FILBERT_LINEAR)
      run_by_columns(context, ops[i], tokens);
    else
      run_rows(context.kernels.rows, ops[i], 0, tokens);
}

}  // namespace filbert::cpu
