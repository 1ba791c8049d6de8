// RoFormer (Su et al., arXiv:2104.09864): BERT with rotary positions, which it had first, in the place of learned ones.
#include <filbert/error.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "models/attention_settings.h"
#include "models/bert_encoder.h"
#include "models/heads.h"

namespace filbert {
namespace {

using namespace config_limits;

constexpr double kTheta = 10000;

BertSize read(const ConfigReader& config) {
  config.one_of("norm_type", "layer_norm", {"layer_norm"});
  if (!config.boolean("use_bias", true))
    config.fail("use_bias", "true: the second version, which has no biases, is another model");
  BertSize found = read_bert_size(config, {.vocabulary = 50000, .positions = 1536});
  const auto hidden = static_cast<std::int64_t>(found.hidden), heads = static_cast<std::int64_t>(found.heads);
  rotary_head_size(config, "hidden_size", hidden, "num_attention_heads", heads);
  found.embedding = size(config.positive_int("embedding_size", hidden, kHiddenSize));
  found.has_positions = false;
  found.turned = config.boolean("rotary_value", false) ? 3 : 2;
  return found;
}

double frequency(std::size_t pair, std::size_t head_size) {
  return std::pow(kTheta, -2 * static_cast<double>(pair) / static_cast<double>(head_size));
}

// Files may hold what transformers computes with: [positions, head_size], sines, then cosines.
void check_table(const std::vector<float>& table, const std::string& name, std::size_t head_size) {
  constexpr double kRounding = 0x1p-8;  // bfloat16 is off by less
  const std::size_t pairs = head_size / 2;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::size_t position = i / head_size, column = i % head_size;
    const double angle = static_cast<double>(position) * frequency(column % pairs, head_size);
    const double expected = column < pairs ? std::sin(angle) : std::cos(angle);
    if (!(std::abs(static_cast<double>(table[i]) - expected) < kRounding))
      throw WeightsError(name + "[" + std::to_string(position) + ", " + std::to_string(column) + "]: found " +
                         std::to_string(table[i]) + ", expected " + std::to_string(expected) +
                         ": filbert computes sines and cosines of positions itself");
  }
}

// transformers rounds no angle but its sine and cosine. So the first number of a frequency has so few bits that an
// angle is exact up to position 4,096, and the second one is so small that its angles hardly are rounded.
BertFrequencies make_frequencies(const BertSize& sizes, Tensors& tensors) {
  constexpr int kBits = 12;
  const std::size_t head_size = sizes.hidden / sizes.heads;
  std::vector<float> most, rest;
  for (std::size_t pair = 0; pair < head_size / 2; ++pair) {
    const double whole = frequency(pair, head_size);
    const double step = std::exp2(std::ilogb(whole) + 1 - kBits);
    const double first = std::floor(whole / step) * step;
    most.push_back(static_cast<float>(first));
    rest.push_back(static_cast<float>(whole - first));
  }
  const std::string stored = "encoder.embed_positions.weight";
  BertFrequencies made;
  made.rest = tensors.numbers(std::move(rest));
  if (!tensors.has(stored)) {
    made.most = tensors.numbers(std::move(most));
    return made;
  }
  made.most = tensors.computed({stored, sizes.positions}, head_size, [&](const std::vector<float>& table) {
    check_table(table, stored, head_size);
    return most;
  });
  return made;
}

std::unique_ptr<Encoder> roformer(const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  BertNames names = bert_names();
  if (sizes.embedding != sizes.hidden) names.projection = "embeddings_project";
  return std::make_unique<BertEncoder>(sizes, names, numbered_layers("encoder.layer.", sizes.layers), tensors,
                                       BertBias{}, make_frequencies(sizes, tensors));
}

std::unique_ptr<Head> roformer_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = read(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "classifier.dense", hidden, hidden, sizes.activation), "classifier.out_proj");
  return task == Task::masked_lm ? bert_head(task, config, tensors, sizes) : token_head(task, config, tensors, hidden);
}

}  // namespace

extern const Family kRoformer = {"roformer", {"roformer."}, roformer, roformer_head};

}  // namespace filbert
