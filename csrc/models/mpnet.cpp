// MPNet (Song et al., arXiv:2004.09297): BERT with positions that are counted from the padding id on, and one bias by
// distance that is added to the scores of all layers.
#include "models/bert_encoder.h"
#include "models/distance_buckets.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

// transformers has no setting for these: which bucket a distance falls into is fixed, and needs all of them.
constexpr std::int64_t kMpnetPaddingId = 1;
constexpr DistanceBuckets kBuckets = {.count = 32, .farthest = 128};

BertSize read_mpnet(const ConfigReader& config) {
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  BertSize found = read_bert_size(config, {.vocabulary = 30527});
  // Positions are counted from the padding id on, which is the last that no token has.
  const auto positions = config.optional_int("max_position_embeddings", kMpnetPaddingId + 2, kPositions);
  found.positions = size(positions.value_or(512));
  found.token_types = 0;
  found.padding_id = kMpnetPaddingId;
  return found;
}

BertNames mpnet_names() {
  return {.qkv = {"attention.attn.q", "attention.attn.k", "attention.attn.v"},
          .attention_out = "attention.attn.o",
          .attention_norm = "attention.LayerNorm",
          .up = "intermediate.dense",
          .down = "output.dense",
          .output_norm = "output.LayerNorm"};
}

std::unique_ptr<Encoder> mpnet(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_mpnet(config);
  // Of the table, which may have more rows than there are buckets.
  const auto rows = config.optional_int("relative_attention_num_buckets", kBuckets.count, kPositions);
  Weight bias =
      tensors.computed({"encoder.relative_attention_bias.weight", size(rows.value_or(kBuckets.count))}, sizes.heads,
                       [&](const std::vector<float>& table) { return kBuckets.spread(table, sizes.heads); });
  return std::make_unique<BertEncoder>(sizes, mpnet_names(), numbered_layers("encoder.layer.", sizes.layers), tensors,
                                       BertBias{std::move(bias), size(kBuckets.farthest)});
}

std::unique_ptr<Head> mpnet_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_mpnet(config);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

}  // namespace

extern const Family kMpnet = {"mpnet", {"mpnet."}, mpnet, mpnet_head};

}  // namespace filbert
