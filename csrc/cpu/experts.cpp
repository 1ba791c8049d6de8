// Mixtures of experts: rows are copied into the order of the experts that they go to, each expert multiplies its own as
// any two linear ops, and each token sums up what comes back. So only what was chosen is computed, and no result
// depends on which rows share an expert.
#include "cpu/experts.h"

#include <algorithm>
#include <numeric>

#include "cpu/token_ops.h"
#include "cpu/weight.h"

namespace filbert::cpu {
namespace {

// A token has top_k places, in ascending order of the experts that it goes to. Each place has a row, and rows are in
// ascending order of the experts, then of the tokens.
struct Sizes {
  std::size_t places, numbers, experts;

  explicit Sizes(const filbert_experts_args& args)
      : places(args.tokens * args.top_k), numbers(round_up(places * args.up[0]->cols, 16)), experts(args.experts) {}
  std::size_t bytes() const { return 2 * numbers * sizeof(float) + (3 * places + experts) * sizeof(std::int32_t); }
};

struct Plan {
  Sizes sizes;
  float* x;                 // [rows, width]
  float* results;           // [rows, width]
  float* shares;            // [places] what a result counts
  std::int32_t* expert_of;  // [places]
  std::int32_t* row_of;     // [places]
  std::int32_t* ends;       // [experts] where the rows of each end

  explicit Plan(const filbert_experts_args& args)
      : sizes(args),
        x(static_cast<float*>(args.memory)),
        results(x + sizes.numbers),
        shares(results + sizes.numbers),
        expert_of(reinterpret_cast<std::int32_t*>(shares + sizes.places)),
        row_of(expert_of + sizes.places),
        ends(row_of + sizes.places) {}

  // Rows for the places, whose experts are known.
  void sort() const {
    std::fill_n(ends, sizes.experts, 0);
    for (std::size_t i = 0; i < sizes.places; ++i) ++ends[expert_of[i]];
    std::exclusive_scan(ends, ends + sizes.experts, ends, 0);
    for (std::size_t i = 0; i < sizes.places; ++i) row_of[i] = ends[expert_of[i]]++;
  }
};

// The places of a token: the largest of p [experts], which is overwritten. Of NaN, which nothing is larger than, the
// first ones.
void choose(float* p, std::size_t experts, std::size_t top_k, std::int32_t* expert_of, float* shares) {
  constexpr float kTaken = -1;
  for (std::size_t i = 0; i < top_k; ++i) {
    std::size_t best = experts;
    for (std::size_t e = 0; e < experts; ++e)
      if (p[e] != kTaken && (best == experts || p[e] > p[best])) best = e;
    std::size_t at = i;
    for (; at > 0 && static_cast<std::size_t>(expert_of[at - 1]) > best; --at) {
      expert_of[at] = expert_of[at - 1];
      shares[at] = shares[at - 1];
    }
    expert_of[at] = static_cast<std::int32_t>(best);
    shares[at] = p[best];
    p[best] = kTaken;
  }
}

// body(token, scratch) of every token, on all threads.
template <typename Body>
void each_token(ThreadPool& pool, std::size_t tokens, std::size_t scratch, const Body& body) {
  constexpr std::size_t kTokensOfPart = 16;  // enough to be worth waking a thread
  pool.run((tokens + kTokensOfPart - 1) / kTokensOfPart, scratch, [&](std::size_t part, float* own) {
    const std::size_t end = std::min(tokens, (part + 1) * kTokensOfPart);
    for (std::size_t token = part * kTokensOfPart; token < end; ++token) body(token, own);
  });
}

}  // namespace

std::size_t experts_memory(const filbert_experts_args& args) { return Sizes(args).bytes(); }

void run_experts(filbert_context& context, const filbert_experts_args& args) {
  const std::size_t width = args.up[0]->cols;
  const auto row_of = [width](auto* rows, std::size_t row) { return rows + row * width; };
  const auto* const x = static_cast<const float*>(args.x);
  const Plan plan(args);

  each_token(context.pool, args.tokens, args.experts, [&](std::size_t token, float* p) {
    const std::size_t place = token * args.top_k;
    context.kernels.rows.route(row_of(x, token), floats_of(args.router), args.experts, width, p);
    choose(p, args.experts, args.top_k, plan.expert_of + place, plan.shares + place);
  });
  plan.sort();
  each_token(context.pool, args.tokens, 0, [&](std::size_t token, float*) {
    for (std::size_t place = token * args.top_k; place < (token + 1) * args.top_k; ++place)
      std::copy_n(row_of(x, token), width, row_of(plan.x, static_cast<std::size_t>(plan.row_of[place])));
  });
  for (std::size_t e = 0, begin = 0; e < args.experts; ++e) {
    const auto end = static_cast<std::size_t>(plan.ends[e]);
    filbert_token_op ops[] = {{FILBERT_LINEAR, FILBERT_NEXT_ALONE, {}}, {FILBERT_LINEAR, FILBERT_OTHERS, {}}};
    ops[0].args.linear = {row_of(plan.x, begin), args.up[e], nullptr, nullptr, args.activation, nullptr, 0};
    ops[1].args.linear = {nullptr, args.down[e], nullptr, nullptr, FILBERT_IDENTITY, row_of(plan.results, begin), 0};
    run_token_ops(context, ops, 2, end - begin);
    begin = end;
  }
  each_token(context.pool, args.tokens, 0, [&](std::size_t token, float*) {
    const std::size_t place = token * args.top_k;
    context.kernels.rows.mix({plan.results, plan.row_of + place, plan.shares + place, args.top_k, width,
                              floats_of(args.bias), row_of(static_cast<const float*>(args.residual), token),
                              row_of(static_cast<float*>(args.out), token)});
  });
}

}  // namespace filbert::cpu
