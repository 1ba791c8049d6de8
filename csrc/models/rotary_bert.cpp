#include "models/rotary_bert.h"

#include <algorithm>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/bert_encoder.h"

namespace filbert {

using namespace config_limits;

RotaryBertNames native_names(bool is_gated) {
  RotaryBertNames names = {.embedding_norm = "embeddings.LayerNorm",
                           .layers = "layers.",
                           .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                           .attention_out = "self_attn.o_proj",
                           .attention_norm = "post_attention_layernorm",
                           .up = {"mlp.gate_proj", "mlp.up_proj"},
                           .down = "mlp.down_proj",
                           .output_norm = "post_mlp_layernorm"};
  if (!is_gated) {
    names.up = {"mlp.fc1"};
    names.down = "mlp.fc2";
  }
  return names;
}

RotaryBertSize read_rotary_bert(const ConfigReader& config, const RotaryBertDefaults& defaults) {
  refuse_decoders(config);
  const std::int64_t hidden = config.positive_int("hidden_size", defaults.hidden, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", defaults.heads, kHeads);
  const std::size_t head_size = rotary_head_size(config, "hidden_size", hidden, "num_attention_heads", heads);
  check_head_size(config, head_size, "hidden_size");
  const std::size_t longest = size(config.positive_int("max_position_embeddings", defaults.longest, kPositions));
  return {
      .vocabulary = size(config.positive_int("vocab_size", defaults.vocabulary, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", defaults.layers, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", defaults.intermediate, kIntermediateSize)),
      .longest = longest,
      .token_types = size(config.non_negative_int("type_vocab_size", defaults.token_types, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", defaults.eps)),
      .attention_bias = true,
      .up_bias = true,
      .down_bias = true,
      .is_gated = false,
      .activation = read_activation(config, "hidden_act", "gelu"),
      .rotation = read_rotation_or_ntk(config, {defaults.theta, head_size, longest}),
  };
}

void refuse(const ConfigReader& config, const char* field) {
  if (config.boolean(field, false)) config.fail(field, "false");
}

void check_head_size(const ConfigReader& config, std::size_t head_size, const std::string& hidden_name) {
  if (const auto own = config.optional_int("head_dim", 1, kHiddenSize); own && size(*own) != head_size)
    config.fail("head_dim", std::to_string(head_size) + ", as follows from " + hidden_name);
}

void refuse_other_rotations(const ConfigReader& config) {
  for (const char* field : {"rope_scaling", "rope_parameters"})
    if (const auto parameters = config.object(field))
      for (const char* type : {"rope_type", "type"}) parameters->one_of(type, "default", {"default", "ntk"});
}

std::unique_ptr<Head> labels_head(Task task, const ConfigReader& config, Tensors& tensors, std::size_t hidden) {
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "pooler.dense", hidden, hidden, FILBERT_TANH, Tensors::Owner::base),
                  "classifier");
  if (task == Task::token_classification) return labels(config, tensors, Over::each, {hidden}, "classifier");
  return nullptr;
}

RotaryBert::RotaryBert(const RotaryBertSize& sizes, const RotaryBertNames& names, Tensors& tensors) : config_(sizes) {
  const std::size_t hidden = sizes.hidden;
  const auto parts = [](const std::string& layer, const std::vector<std::string>& of, std::size_t rows) {
    Tensors::Parts result;
    for (const std::string& name : of) result.push_back({layer + name, rows / of.size()});
    return result;
  };
  word_ =
      tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, hidden, Tensors::Init::normal_padding_zero);
  if (sizes.token_types > 0)
    type_ = tensors.table("embeddings.token_type_embeddings.weight", sizes.token_types, hidden);
  embedding_norm_ = make_layer_norm(tensors, names.embedding_norm, hidden, sizes.eps);
  for (std::size_t i = 0; i < sizes.layers; ++i) {
    const std::string name = names.layers + std::to_string(i) + ".";
    const InputNorm input = i == 0 ? embedding_norm_.names : layers_.back().tail.output_norm.names;
    Layer layer;
    layer.qkv = make_qkv(tensors, parts(name, names.qkv, 3 * hidden), hidden, input, sizes.attention_bias);
    layer.tail.attention_out =
        make_linear(tensors, {{name + names.attention_out, hidden}}, hidden, {}, sizes.attention_bias);
    layer.tail.attention_norm = make_layer_norm(tensors, name + names.attention_norm, hidden, sizes.eps);
    const InputNorm& norm = layer.tail.attention_norm.names;
    if (sizes.mixtures && sizes.mixtures->are_at(i)) {
      const auto& [every, experts, chosen] = *sizes.mixtures;
      layer.experts.emplace(ExpertsSize{experts, chosen, hidden, sizes.intermediate, sizes.activation}, name + "mlp.",
                            norm, tensors);
    } else {
      layer.tail.up =
          sizes.is_gated ? make_gated(tensors, parts(name, names.up, 2 * sizes.intermediate), hidden, norm,
                                      sizes.up_bias, names.gate)
                         : make_linear(tensors, parts(name, names.up, sizes.intermediate), hidden, norm, sizes.up_bias);
      layer.tail.down = make_linear(tensors, {{name + names.down, hidden}}, sizes.intermediate, {}, sizes.down_bias);
    }
    layer.tail.output_norm = make_layer_norm(tensors, name + names.output_norm, hidden, sizes.eps);
    layers_.push_back(std::move(layer));
  }
  frequencies_ = tensors.numbers(sizes.rotation.frequencies);
}

Dimensions RotaryBert::dimensions() const {
  InputRules inputs = rotary_inputs(config_.vocabulary, config_.longest);
  inputs.token_types = config_.token_types;
  inputs.positions = inputs.columns = config_.limit;
  inputs.longest = std::min(inputs.longest, config_.limit);
  return {inputs, config_.hidden, config_.layers, config_.heads};
}

void* RotaryBert::forward(Run& run) const {
  const auto& [ops, batch, arena, trace, rows] = run;
  const std::size_t hidden = config_.hidden;
  const std::size_t head_size = hidden / config_.heads;
  void* x = arena.activations(batch.tokens, hidden);
  void* sum = arena.activations(batch.tokens, hidden);
  void* qkv = arena.activations(batch.tokens, 3 * hidden);
  void* context = arena.activations(batch.tokens, hidden);
  void* inner = arena.activations(batch.tokens, config_.intermediate);
  const auto mixed =
      std::find_if(layers_.begin(), layers_.end(), [](const Layer& each) { return each.experts.has_value(); });
  void* memory = mixed == layers_.end() ? nullptr : mixed->experts->memory(ops, arena, batch.tokens);

  filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
  attention.scale *= config_.rotation.score_scale;
  // Heads of q and k lie side by side, and turn together.
  const filbert_token_op turn =
      rope({attention.q, 2 * config_.heads, head_size, batch.positions, frequencies_, head_size});

  ops.token_ops({embed(embed_of(batch, word_, type_, {}, hidden, sum),
                       FILBERT_NEXT_ALONE),  // [tokens, hidden]
                 embedding_norm_(sum, x)},   // [tokens, hidden]
                batch.tokens);
  trace.hidden_state(x);
  for (const Layer& layer : layers_) {
    const Rows wanted = &layer == &layers_.back() ? rows : Rows::all;
    const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
    attention.rows = rows_op(wanted);
    trace.next_attention(attention);
    ops.token_ops({layer.qkv.to_heads(x, qkv, head_size), turn}, batch.tokens);  // [tokens, 3 hidden]
    ops.attention(attention);                                                    // [tokens, hidden]
    if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
    if (layer.experts) {
      const PostNormTail& tail = layer.tail;
      ops.token_ops({tail.attention_out(context, sum, FILBERT_NEXT_ALONE, FILBERT_IDENTITY, x),  // [tokens, hidden]
                     tail.attention_norm(sum, x)},                                               // [tokens, hidden]
                    tokens);
      (*layer.experts)(ops, x, tokens, memory, sum);      // [tokens, hidden]
      ops.token_ops({tail.output_norm(sum, x)}, tokens);  // [tokens, hidden]
    } else {
      layer.tail(ops, context, x, sum, inner, config_.activation, tokens);  // [tokens, hidden]
    }
    trace.attention_done();
    trace.hidden_state(x);
  }
  return x;
}

}  // namespace filbert
