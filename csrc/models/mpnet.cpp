// MPNet (Song et al., arXiv:2004.09297): BERT with positions that are counted from the padding id on, and one bias by
// distance that is added to the scores of all layers.
#include <algorithm>
#include <bit>

#include "models/bert_encoder.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

// transformers has no setting for these: which bucket a distance falls into is fixed, and needs all of them.
constexpr std::int64_t kMpnetPaddingId = 1;
constexpr std::size_t kBuckets = 32;

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
  return {.query = "attention.attn.q",
          .key = "attention.attn.k",
          .value = "attention.attn.v",
          .attention_out = "attention.attn.o",
          .attention_norm = "attention.LayerNorm",
          .up = "intermediate.dense",
          .down = "output.dense",
          .output_norm = "output.LayerNorm"};
}

// Further away, every distance is in the last bucket of its side.
constexpr std::int64_t kReach = 128;

// Of a key `distance` columns after the query. Half of the buckets are for each side; of those, half are for one
// distance each, and the others grow: 8 + floor(8 log(distance / 8) / log(128 / 8)), at most 15. That is
// 8 + floor(log2(distance^2 / 64)), which integers compute without rounding. It is 16 or more from 128 on.
std::size_t bucket_of(std::int64_t distance) {
  const auto away = static_cast<std::uint64_t>(distance < 0 ? -distance : distance);
  const std::size_t of_side = away < 8 ? away : std::min<std::size_t>(15, 1 + std::bit_width(away * away));
  return of_side + (distance > 0 ? kBuckets / 2 : 0);
}

// From the table [buckets, heads] to [heads, 2 reach + 1].
std::vector<float> bias_by_distance(const std::vector<float>& table, std::size_t heads) {
  std::vector<float> result;
  for (std::size_t head = 0; head < heads; ++head)
    for (std::int64_t distance = -kReach; distance <= kReach; ++distance)
      result.push_back(table[bucket_of(distance) * heads + head]);
  return result;
}

std::unique_ptr<Encoder> mpnet(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_mpnet(config);
  // Of the table, which may have more rows than there are buckets.
  const auto rows = config.optional_int("relative_attention_num_buckets", kBuckets, kPositions);
  Weight bias = tensors.computed({"encoder.relative_attention_bias.weight", size(rows.value_or(kBuckets))}, sizes.heads,
                                 [&](const std::vector<float>& table) { return bias_by_distance(table, sizes.heads); });
  return std::make_unique<BertEncoder>(sizes, mpnet_names(), numbered_layers("encoder.layer.", sizes.layers), tensors,
                                       BertBias{std::move(bias), size(kReach)});
}

std::unique_ptr<Head> mpnet_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read_mpnet(config);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

}  // namespace

extern const Family kMpnet = {"mpnet", {"mpnet."}, mpnet, mpnet_head};

}  // namespace filbert
