#include "models/bert_encoder.h"

#include <algorithm>
#include <utility>

#include "models/activations.h"
#include "models/heads.h"
#include "models/paired_heads.h"

namespace filbert {

BertLayers numbered_layers(const std::string& stem, std::size_t count) {
  BertLayers layers;
  for (std::size_t i = 0; i < count; ++i) {
    layers.names.push_back(stem + std::to_string(i) + ".");
    layers.order.push_back(i);
  }
  return layers;
}

void refuse_decoders(const ConfigReader& config) {
  for (const char* field : {"is_decoder", "add_cross_attention"})
    if (config.boolean(field, false)) config.fail(field, "false: filbert runs encoders");
}

void count_positions(const ConfigReader& config, BertSize& sizes) {
  if (config.is_null("pad_token_id")) config.fail("pad_token_id", "an integer: positions are counted from it on");
  const std::int64_t padding_id = config.non_negative_int("pad_token_id", 1, config_limits::kVocabulary);
  if (size(padding_id) + 1 >= sizes.positions)
    config.fail("pad_token_id", "less than max_position_embeddings - 1 (" + std::to_string(sizes.positions - 1) +
                                    "): positions are counted from it on");
  sizes.padding_id = padding_id;
}

BertSize read_bert_size(const ConfigReader& config, const BertDefaults& defaults) {
  using namespace config_limits;
  const std::int64_t hidden = config.positive_int("hidden_size", defaults.hidden, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", defaults.heads, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  refuse_decoders(config);
  return {
      .vocabulary = size(config.positive_int("vocab_size", defaults.vocabulary, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", defaults.layers, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", defaults.intermediate, kIntermediateSize)),
      .positions = size(config.positive_int("max_position_embeddings", defaults.positions, kPositions)),
      .token_types = size(config.non_negative_int("type_vocab_size", defaults.token_types, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", defaults.eps)),
      .activation = read_activation(config, "hidden_act", defaults.activation),
  };
}

BertNames bert_names() {
  return {.qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
          .attention_out = "attention.output.dense",
          .attention_norm = "attention.output.LayerNorm",
          .up = "intermediate.dense",
          .down = "output.dense",
          .output_norm = "output.LayerNorm"};
}

std::unique_ptr<Head> bert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  return bert_head(task, config, tensors, read_bert_size(config));
}

std::unique_ptr<Head> bert_head(Task task, const ConfigReader& config, Tensors& tensors, const BertSize& sizes) {
  const std::size_t hidden = sizes.hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "pooler.dense", hidden, hidden, FILBERT_TANH, Tensors::Owner::base),
                  "classifier");
  if (task == Task::masked_lm) {
    const std::string name = "cls.predictions.";
    return words(config, tensors,
                 inner_layer(tensors, name + "transform.dense", hidden, sizes.embedding, sizes.activation,
                             name + "transform.LayerNorm", sizes.eps),
                 {"embeddings.word_embeddings.weight", name + "decoder", name + "bias"}, sizes.vocabulary);
  }
  return token_head(task, config, tensors, hidden);
}

BertTables::BertTables(const BertSize& sizes, Tensors& tensors) : width(sizes.embedding) {
  using Init = Tensors::Init;
  const Init position_init = sizes.padding_id ? Init::normal_padding_zero : Init::normal;
  word = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, width, Init::normal_padding_zero);
  if (sizes.has_positions)
    position = tensors.table("embeddings.position_embeddings.weight", sizes.positions, width, position_init);
  const Tensors::Part types = {"embeddings.token_type_embeddings.weight", sizes.token_types};
  if (sizes.tasks > 0)
    type = tensors.table_and_row(types, {"embeddings.task_type_embeddings.weight", sizes.tasks}, width);
  else if (sizes.token_types > 0)
    type = tensors.table(types.name, types.rows, width);
}

InputRules bert_inputs(const BertSize& sizes) {
  InputRules inputs = {.vocabulary = sizes.vocabulary,
                       .token_types = sizes.token_types,
                       .positions = sizes.positions,
                       .longest = sizes.positions};
  if (sizes.padding_id) {
    inputs.rule = InputRules::Positions::of_ids;
    inputs.padding_id = *sizes.padding_id;
    inputs.longest -= size(inputs.padding_id) + 1;
  }
  if (!sizes.has_positions) inputs.columns = sizes.positions;
  return inputs;
}

BertEncoder::BertEncoder(const BertSize& sizes, const BertNames& names, const BertLayers& layers, Tensors& tensors,
                         BertBias bias, BertFrequencies frequencies)
    : config_(sizes),
      bias_(std::move(bias)),
      frequencies_(std::move(frequencies)),
      tables_(sizes, tensors),
      order_(layers.order) {
  const std::size_t hidden = sizes.hidden, width = sizes.embedding, head_size = hidden / sizes.heads;
  embedding_norm_ = make_layer_norm(tensors, names.embedding_norm, width, sizes.eps);
  if (!names.projection.empty())
    projection_ = make_linear(tensors, {{names.projection, hidden}}, width, embedding_norm_.names);

  // The norm before a layer: that of the layer that ran last, or of the embeddings.
  const auto norm_before = [&](std::size_t layer) -> InputNorm {
    const auto last = std::find(order_.rbegin(), order_.rend(), layer);
    if (last + 1 >= order_.rend()) return names.projection.empty() ? embedding_norm_.names : InputNorm{};
    const std::string norm = layers.names[*(last + 1)] + names.output_norm;
    return {norm + ".weight", norm + ".bias"};
  };
  for (std::size_t i = 0; i < layers.names.size(); ++i) {
    const std::string& name = layers.names[i];
    const auto norm = [&](const std::string& part) { return make_layer_norm(tensors, name + part, hidden, sizes.eps); };
    Tensors::Parts qkv;
    for (const std::string& part : names.qkv) qkv.push_back({name + part, 3 * hidden / names.qkv.size()});
    Layer layer;
    layer.qkv = sizes.turned > 0 ? make_paired_qkv(tensors, qkv, hidden, head_size, sizes.turned, norm_before(i))
                                 : make_qkv(tensors, qkv, hidden, norm_before(i));
    layer.tail.attention_out = sizes.turned == 3
                                   ? make_paired_out(tensors, name + names.attention_out, hidden, head_size)
                                   : make_linear(tensors, {{name + names.attention_out, hidden}}, hidden);
    layer.tail.attention_norm = norm(names.attention_norm);
    const InputNorm& input = layer.tail.attention_norm.names;
    layer.tail.up = names.is_gated
                        ? make_gated(tensors, {{name + names.up, 2 * sizes.intermediate}}, hidden, input, false)
                        : make_linear(tensors, {{name + names.up, sizes.intermediate}}, hidden, input);
    layer.tail.down = make_linear(tensors, {{name + names.down, hidden}}, sizes.intermediate);
    layer.tail.output_norm = norm(names.output_norm);
    layers_.push_back(std::move(layer));
  }
}

Dimensions BertEncoder::dimensions() const {
  InputRules inputs = bert_inputs(config_);
  if (config_.turned == 2) inputs.rule = InputRules::Positions::of_tokens;  // values are turned by the row's columns
  return {inputs, config_.hidden, order_.size(), config_.heads};
}

void* BertEncoder::forward(Run& run) const {
  const auto& [ops, batch, arena, trace, rows] = run;
  const std::size_t hidden = config_.hidden, width = config_.embedding;
  const std::size_t head_size = hidden / config_.heads;
  void* x = arena.activations(batch.tokens, hidden);
  void* sum = arena.activations(batch.tokens, hidden);
  void* qkv = arena.activations(batch.tokens, 3 * hidden);
  void* context = arena.activations(batch.tokens, hidden);
  void* inner = arena.activations(batch.tokens, config_.intermediate);

  filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
  attention.bias = bias_.values;
  attention.bias_reach = bias_.reach;
  // Heads of q, k and v lie side by side, and turn together.
  const auto turn = [&](const Weight& frequencies) {
    return rope({attention.q, config_.turned * config_.heads, head_size, batch.positions, frequencies, head_size});
  };

  if (!projection_.weight) {
    ops.token_ops({tables_(batch, sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)},
                  batch.tokens);  // [tokens, hidden]
  } else {
    void* narrow = arena.activations(batch.tokens, width);
    void* normed = arena.activations(batch.tokens, width);
    ops.token_ops({tables_(batch, narrow, FILBERT_NEXT_ALONE),           // [tokens, width]
                   embedding_norm_(narrow, normed, FILBERT_NEXT_ALONE),  // [tokens, width]
                   projection_(normed, x)},                              // [tokens, hidden]
                  batch.tokens);
  }
  trace.hidden_state(x);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const Layer& layer = layers_[order_[i]];
    const Rows wanted = i + 1 == order_.size() ? rows : Rows::all;
    const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
    attention.rows = rows_op(wanted);
    trace.next_attention(attention);
    const filbert_token_op projection = layer.qkv.to_heads(x, qkv, head_size);  // [tokens, 3 hidden]
    if (config_.turned > 0)
      ops.token_ops({projection, turn(frequencies_.most), turn(frequencies_.rest)}, batch.tokens);
    else
      ops.token_ops({projection}, batch.tokens);
    ops.attention(attention);  // [tokens, hidden]
    if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
    layer.tail(ops, context, x, sum, inner, config_.activation, tokens);  // [tokens, hidden]
    trace.attention_done();
    trace.hidden_state(x);
  }
  return x;
}

}  // namespace filbert
