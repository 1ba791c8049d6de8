// Splits per-token ops over the threads: many tokens by rows, a few by the rows or the columns of each op.
#include "cpu/token_ops.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

void check(const RowKernels& kernels, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  const filbert_linear_args* made = nullptr;  // heads, by the op before
  for (const filbert_token_op* op = ops; op != ops + count; ++op) {
    if (op->kind == FILBERT_LINEAR) {
      made = op->args.linear.head_size > 0 ? &op->args.linear : nullptr;
      continue;
    }
    if (!kernels.run(*op, 0, 0, {}, {})) throw std::invalid_argument("unknown op " + std::to_string(op->kind));
    const filbert_heads* const heads = heads_of(*op);
    if (!heads)
      made = nullptr;
    else if (!made || heads->x != made->out || heads->width != made->weight->rows || heads->rows != tokens)
      throw std::invalid_argument("an op on heads has to come right behind the linear op that makes them");
  }
}

// The tokens in shares of about share_rows, as many for each thread, and all ops on one share before the next.
void run_by_rows(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  const LinearKernel& linear = context.linear;
  const auto threads = static_cast<std::size_t>(context.pool.threads());
  const std::size_t grain = linear.row_grain;
  const std::size_t shares = round_up((tokens + linear.share_rows - 1) / linear.share_rows, threads);
  const auto begin_of = [&](std::size_t share) {
    return share == shares ? tokens : (share * tokens / shares + grain / 2) / grain * grain;
  };
  const ShareSizes sizes(context, ops, count, tokens / shares + grain + 1, true);
  context.pool.run(shares, sizes.buffers() + sizes.kernel, [&](std::size_t index, float* buffers) {
    float* const scratch = buffers + sizes.buffers();
    RowShare share(context, sizes, tokens, begin_of(index), begin_of(index + 1), buffers);
    const auto op = [&](std::size_t i) { return i < count ? &ops[i] : nullptr; };
    for (std::size_t i = 0; i < count; ++i) {
      if (is_pair(linear, ops[i], op(i + 1))) {
        share.run_pair(ops[i], ops[i + 1], op(i + 2), scratch);
        ++i;
        continue;
      }
      share.prepare(ops[i], op(i + 1));
      if (ops[i].kind != FILBERT_LINEAR) {
        share.run_rows(0, share.rows(), scratch);
      } else {
        if (share.packs()) share.pack(0, share.rows(), scratch);
        share.multiply(0, share.panels(), scratch);
      }
      share.hand_on();
    }
  });
}

// Every op on all threads before the next: rows are packed once for all, then columns are split.
class Steps {
 public:
  Steps(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens)
      : context_(context), buffers_(context.buffers.take()) {
    const LinearKernel& linear = context.linear;
    const std::size_t row_shares = (tokens + linear.share_rows - 1) / linear.share_rows;
    const std::size_t rows = (tokens + row_shares - 1) / row_shares;
    const ShareSizes sizes(context, ops, count, rows, false);
    float* const buffers = buffers_->reserve(row_shares * sizes.buffers());
    buffers_->shares.clear();
    for (std::size_t i = 0; i < row_shares; ++i)
      buffers_->shares.emplace_back(context, sizes, tokens, i * tokens / row_shares, (i + 1) * tokens / row_shares,
                                    buffers + i * sizes.buffers());
    scratch_ = sizes.kernel;
    // As many parts as threads, but of rows enough to be worth waking one.
    row_parts_ = std::clamp<std::size_t>(rows / kRowsOfPart, 1, (threads() + row_shares - 1) / row_shares);
  }

  ~Steps() { context_.buffers.give_back(std::move(buffers_)); }
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  void run(const filbert_token_op& op, const filbert_token_op* next) const {
    for (RowShare& share : shares()) share.prepare(op, next);
    const RowShare& first = shares().front();
    if (op.kind != FILBERT_LINEAR) {
      by_rows([](const RowShare& share, std::size_t begin, std::size_t end, float* scratch) {
        share.run_rows(begin, end, scratch);
      });
    } else {
      if (first.packs())
        by_rows([](const RowShare& share, std::size_t begin, std::size_t end, float* scratch) {
          share.pack(begin, end, scratch);
        });
      by_columns(first.panels());
    }
    for (RowShare& share : shares()) share.hand_on();
  }

 private:
  static constexpr std::size_t kRowsOfPart = 8;
  static constexpr std::size_t kPartsOfThread = 4;  // of columns: threads are not equally fast

  template <typename Body>
  void by_rows(const Body& body) const {
    context_.pool.run(shares().size() * row_parts_, scratch_, [&](std::size_t part, float* scratch) {
      const RowShare& share = shares()[part / row_parts_];
      const std::size_t i = part % row_parts_;
      body(share, i * share.rows() / row_parts_, (i + 1) * share.rows() / row_parts_, scratch);
    });
  }

  void by_columns(std::size_t panels) const {
    const std::size_t wanted = (kPartsOfThread * threads() + shares().size() - 1) / shares().size();
    const std::size_t parts = std::min(wanted, panels);
    context_.pool.run(shares().size() * parts, scratch_, [&](std::size_t part, float* scratch) {
      const std::size_t i = part % parts;
      shares()[part / parts].multiply(i * panels / parts, (i + 1) * panels / parts, scratch);
    });
  }

  std::vector<RowShare>& shares() const { return buffers_->shares; }
  std::size_t threads() const { return static_cast<std::size_t>(context_.pool.threads()); }

  filbert_context& context_;
  std::unique_ptr<ShareBuffers> buffers_;
  std::size_t scratch_, row_parts_;
};

}  // namespace

void run_token_ops(filbert_context& context, const filbert_token_op* ops, std::size_t count, std::size_t tokens) {
  check(context.kernels.rows, ops, count, tokens);
  if (tokens == 0) return;
  if (tokens >= context.linear.thread_rows * static_cast<std::size_t>(context.pool.threads()))
    return run_by_rows(context, ops, count, tokens);
  const Steps steps(context, ops, count, tokens);
  for (std::size_t i = 0; i < count; ++i) steps.run(ops[i], i + 1 < count ? &ops[i + 1] : nullptr);
}

}  // namespace filbert::cpu
