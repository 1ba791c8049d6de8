// How ops are split over many threads, counted: what a kernel is asked to read and to pack. The machine need not have
// as many cores.
#include "cpu/token_ops.h"

#include <doctest/doctest.h>

#include <atomic>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

std::atomic<std::size_t> panels_read, rows_packed;
const cpu::LinearKernel* counted;

// The kernel, counting.
cpu::LinearKernel counting(const cpu::LinearKernel& kernel) {
  counted = &kernel;
  panels_read = rows_packed = 0;
  cpu::LinearKernel counts = kernel;
  counts.run = [](const cpu::LinearTask& task, std::size_t begin, std::size_t end, float* scratch) {
    panels_read += end - begin;
    counted->run(task, begin, end, scratch);
  };
  if (kernel.pack)
    counts.pack = [](cpu::Strided<const float> x, std::size_t begin, std::size_t end, std::size_t rows,
                     const cpu::PanelMatrix& weight, float* operand, float* scratch) {
      rows_packed += end - begin;
      counted->pack(x, begin, end, rows, weight, operand, scratch);
    };
  return counts;
}

std::size_t tokens_per_pass(filbert_dtype dtype, int threads) {
  return Ops(cpu::backend(), 0, threads, dtype).device().tokens_per_pass;
}

// Two layers on all tokens, by a context of so many threads.
class Layers {
 public:
  explicit Layers(filbert_dtype dtype)
      : dtype_(dtype),
        kernels_(cpu::available_kernels().front()),
        kernel_(linear_kernel(kernels_, dtype)),
        ops_(open_isa(kernels_.isa, dtype)),
        up_(load(*ops_, FILBERT_MATRIX, random_floats(kInner * kWidth, 1, 0.1f), kInner, kWidth)),
        down_(load(*ops_, FILBERT_MATRIX, random_floats(kWidth * kInner, 2, 0.1f), kWidth, kInner)) {}

  std::vector<float> run(std::size_t tokens, int threads) {
    const std::vector<float> x = random_floats(tokens * kWidth, 3);
    std::vector<float> inner(tokens * kInner), out(tokens * kWidth);
    const filbert_token_op ops[] = {
        linear({x.data(), up_.get(), nullptr, nullptr, FILBERT_GELU_ERF, inner.data(), 0}),
        linear({inner.data(), down_.get(), nullptr, nullptr, FILBERT_IDENTITY, out.data(), 0})};
    const cpu::LinearKernel counts = counting(kernel_);
    filbert_context context = {kernels_, dtype_, counts, kernels_.attention, cpu::ThreadPool(threads)};
    cpu::run_token_ops(context, ops, 2, tokens);
    context.pool.rest();
    return out;
  }

  std::size_t panels() const {
    const std::size_t width = kernel_.format.panel_width;
    return (kInner + width - 1) / width + (kWidth + width - 1) / width;
  }
  bool packs() const { return kernel_.pack != nullptr; }
  std::size_t share_rows() const { return kernel_.share_rows; }
  std::size_t thread_rows() const { return kernel_.thread_rows; }

 private:
  static constexpr std::size_t kWidth = 64, kInner = 192;

  const filbert_dtype dtype_;
  const cpu::Kernels kernels_;
  const cpu::LinearKernel& kernel_;
  const std::unique_ptr<Ops> ops_;
  const WeightPtr up_, down_;
};

}  // namespace

TEST_CASE("token ops: in a pass, each row of weights that is read serves a whole share, with any number of threads") {
  for (const filbert_dtype dtype : kComputeTypes) {
    Layers layers(dtype);
    for (const int threads : {1, 2, 16, 32, 64}) {
      CAPTURE(dtype);
      CAPTURE(threads);
      const std::size_t tokens = tokens_per_pass(dtype, threads);
      CHECK(tokens >= layers.thread_rows() * static_cast<std::size_t>(threads));
      const std::vector<float> out = layers.run(tokens, threads);
      CHECK(panels_read * layers.share_rows() == tokens * layers.panels());
      CHECK(out == layers.run(tokens, 1));
    }
  }
}

TEST_CASE("token ops: of a few tokens, weights are read and rows are packed once, with any number of threads") {
  for (const filbert_dtype dtype : kComputeTypes) {
    Layers layers(dtype);
    for (const int threads : {16, 64})
      for (const std::size_t tokens : {std::size_t{1}, std::size_t{8}, layers.share_rows()}) {
        CAPTURE(dtype);
        CAPTURE(threads);
        CAPTURE(tokens);
        const std::vector<float> out = layers.run(tokens, threads);
        CHECK(panels_read == layers.panels());
        if (layers.packs()) CHECK(rows_packed == 2 * tokens);
        CHECK(out == layers.run(tokens, 1));
      }
  }
}
