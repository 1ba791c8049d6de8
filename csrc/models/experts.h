// A mixture of experts in the place of a feed-forward layer.
#pragma once

#include <string>
#include <vector>

#include "models/layers.h"

namespace filbert {

struct ExpertsSize {
  std::size_t count, chosen, hidden, inner;  // chosen: of each token
  filbert_activation activation;
};

class Experts {
 public:
  // input: the names of the norm whose output they multiply. The tensors have the names of megablocks
  // (Gale et al., arXiv:2211.15841), and those of all experts are one: [count * inner, hidden] on both sides.
  Experts(const ExpertsSize& sizes, const std::string& name, const InputNorm& input, Tensors& tensors)
      : sizes_(sizes), router_(tensors.table(name + "router.layer.weight", sizes.count, sizes.hidden)) {
    const std::size_t rows = sizes.count * sizes.inner;
    std::vector<std::vector<Tensors::Range>> ranges;
    for (std::size_t i = 0; i < sizes.count; ++i) ranges.push_back({{i * sizes.inner, (i + 1) * sizes.inner}});
    down_ = tensors.transposed({name + "experts.mlp.w2", rows}, sizes.hidden, sizes.count);
    up_ = tensors.rows_of({name + "experts.mlp.w1", rows}, sizes.hidden, ranges, Tensors::Init::normal,
                          Tensors::Owner::base, input);
    bias_ = tensors.vector({{name + "experts.bias", sizes.hidden}}, Tensors::Init::zeros);
    up_list_.assign(up_.begin(), up_.end());
    down_list_.assign(down_.begin(), down_.end());
  }

  // What a forward of so many tokens needs, in the arena.
  void* memory(const Ops& ops, Arena& arena, std::size_t tokens) const {
    return arena.take<std::byte>(ops.experts_memory(args(tokens)));
  }

  // Of x [tokens, hidden], plus x, to out.
  void operator()(const Ops& ops, const void* x, std::size_t tokens, void* memory, void* out) const {
    filbert_experts_args task = args(tokens);
    task.x = task.residual = x;
    task.memory = memory;
    task.out = out;
    ops.experts(task);
  }

 private:
  filbert_experts_args args(std::size_t tokens) const {
    filbert_experts_args args = {};
    args.tokens = tokens;
    args.router = router_;
    args.up = up_list_.data();
    args.down = down_list_.data();
    args.bias = bias_;
    args.experts = sizes_.count;
    args.top_k = sizes_.chosen;
    args.activation = sizes_.activation;
    return args;
  }

  ExpertsSize sizes_;
  Weight router_, bias_;
  std::vector<Weight> up_, down_;
  std::vector<const filbert_weight*> up_list_, down_list_;
};

}  // namespace filbert
