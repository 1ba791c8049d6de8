// DeBERTa-v2 and -v3 (He et al., arXiv:2006.03654 and arXiv:2111.09543). Distances are counted in buckets that widen,
// the layers' own projections may make their position tables, and one convolution over the embeddings may stand beside
// the first layer.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>

#include "models/deberta_encoder.h"

namespace filbert {
namespace {

using namespace config_limits;

// Of distances. The middle half are of one distance each.
struct Buckets {
  std::int64_t count;     // to either side
  std::int64_t farthest;  // the distance that they end at

  // Of a token so many columns after the other one. Further away than the middle, logarithms of distances count, in
  // float32 as in transformers.
  std::int64_t of(std::int64_t distance) const {
    const std::int64_t middle = count / 2, away = std::abs(distance);
    if (away <= middle) return distance;
    const auto logarithm = [&](std::int64_t of) {
      return std::log(static_cast<float>(static_cast<double>(of) / static_cast<double>(middle)));
    };
    const float share = logarithm(away) / logarithm(farthest - 1);
    const auto bucket = static_cast<std::int64_t>(std::ceil(share * static_cast<float>(middle - 1))) + middle;
    return distance < 0 ? -bucket : bucket;
  }
};

void read_buckets(const ConfigReader& config, DebertaSizes& sizes) {
  const std::int64_t count = config.optional_int("position_buckets", -kPositions, kPositions).value_or(0);
  if (count <= 0) return;
  if (sizes.is_relative && count == 1) config.fail("position_buckets", "-1 or an integer above 1");
  if (sizes.is_relative && sizes.farthest - 1 <= count / 2)
    config.fail(
        sizes.farthest == config.optional_int("max_relative_positions", -kPositions, kPositions)
            ? "max_relative_positions"
            : "max_position_embeddings",
        "more than position_buckets / 2 + 1 (" + std::to_string(count / 2 + 1) + "): buckets widen from there on");
  sizes.span = count;
  sizes.bucket_of = [buckets = Buckets{count, sizes.farthest}](std::int64_t distance) { return buckets.of(distance); };
}

void read_convolution(const ConfigReader& config, DebertaSizes& sizes) {
  const std::int64_t kernel = config.non_negative_int("conv_kernel_size", 0, kPositions);
  if (kernel > 0 && kernel % 2 == 0)
    config.fail("conv_kernel_size", "0 or an odd integer: it has a token in its middle");
  const std::int64_t groups = config.positive_int("conv_groups", 1, kHiddenSize);
  if (kernel > 0)
    config.require_divisible("hidden_size", static_cast<std::int64_t>(sizes.hidden), "conv_groups", groups);
  sizes.kernel = size(kernel);
  sizes.groups = size(groups);
  sizes.kernel_activation = read_activation(config, "conv_act", "tanh");
}

DebertaSizes read(const ConfigReader& config) {
  DebertaSizes found = read_deberta(config, {128100, 1536, 24, 24, 6144});
  // transformers projects what the heads give as if it were as wide as everything else.
  const auto head_size = static_cast<std::int64_t>(found.hidden / found.heads);
  if (config.positive_int("attention_head_size", head_size, kHiddenSize) != head_size)
    config.fail("attention_head_size", "hidden_size / num_attention_heads (" + std::to_string(head_size) + ")");
  found.terms = std::size_t{found.to_position} + std::size_t{found.to_content};
  found.shares_keys = config.boolean("share_att_key", false);
  found.norms_positions = has_deberta_name(config, "norm_rel_ebd", deberta_names(config.string("norm_rel_ebd", "none")),
                                           "layer_norm", {"none", "layer_norm"});
  read_buckets(config, found);
  read_convolution(config, found);
  return found;
}

DebertaProjections projections(const DebertaSizes& sizes, Tensors& tensors, const std::string& name,
                               const InputNorm& input) {
  const std::size_t hidden = sizes.hidden;
  DebertaProjections made;
  made.qkv =
      make_qkv(tensors, {{name + "query_proj", hidden}, {name + "key_proj", hidden}, {name + "value_proj", hidden}},
               hidden, input);
  if (!sizes.is_disentangled() || sizes.shares_keys) return made;
  if (sizes.to_position) made.position_k = make_linear(tensors, {{name + "pos_key_proj", hidden}}, hidden);
  if (sizes.to_content) made.position_q = make_linear(tensors, {{name + "pos_query_proj", hidden}}, hidden);
  return made;
}

std::unique_ptr<Encoder> deberta_v2(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<DebertaEncoder>(read(config), projections, tensors);
}

std::unique_ptr<Head> deberta_v2_head(Task task, const ConfigReader& config, Tensors& tensors) {
  return deberta_head(task, config, tensors, read(config));
}

}  // namespace

extern const Family kDebertaV2 = {
    .model_type = "deberta-v2",
    .prefixes = {"deberta."},
    .encoder = deberta_v2,
    .head = deberta_v2_head,
    .skipped = kDebertaSkipped,
};

}  // namespace filbert
