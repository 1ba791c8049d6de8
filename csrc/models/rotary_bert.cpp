// BERT with rotary positions: nomic (Nussbaum et al., arXiv:2402.01613) and gte (Zhang et al., arXiv:2407.19669), whose
// feed-forward layers are gated, nomic's with mixtures of experts (Nussbaum and Duderstadt, arXiv:2502.07972), and
// jina-embeddings-v3 (Sturua et al., arXiv:2409.10173). Post-norm. The files on the hub have other names than those
// that transformers saves.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "models/activations.h"
#include "models/attention_settings.h"
#include "models/bert_encoder.h"
#include "models/experts.h"
#include "models/heads.h"
#include "models/layers.h"
#include "models/rotation.h"

namespace filbert {
namespace {

using namespace config_limits;

// Feed-forward layers that are mixtures of experts: a token goes to `chosen` of them.
struct Mixtures {
  std::size_t every, experts, chosen;
  bool are_at(std::size_t layer) const { return layer % every == 1; }
};

struct Size {
  std::size_t vocabulary, hidden, layers, heads, intermediate, longest, token_types;
  float eps;
  bool attention_bias, up_bias, down_bias, is_gated;
  filbert_activation activation;
  Rotation rotation;
  std::size_t limit = size(kPositions);  // of tokens
  std::optional<Mixtures> mixtures = std::nullopt;
};

// The parts of a layer, each behind the layer's own name; qkv and up are joined of as many tensors as are named.
struct Names {
  std::string embedding_norm, layers;
  std::vector<std::string> qkv;
  std::string attention_out, attention_norm;
  std::vector<std::string> up;
  Tensors::Gate gate = Tensors::Gate::upper;
  std::string down, output_norm;
};

// Those of transformers.
Names native_names(bool is_gated) {
  Names names = {.embedding_norm = "embeddings.LayerNorm",
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

struct Layer {
  Linear qkv;
  PostNormTail tail;               // without `up` and `down` where there are
  std::optional<Experts> experts;  // in their place
};

class RotaryBert : public Encoder {
 public:
  RotaryBert(const Size& sizes, const Names& names, Tensors& tensors) : config_(sizes) {
    const std::size_t hidden = sizes.hidden;
    const auto parts = [](const std::string& layer, const std::vector<std::string>& of, std::size_t rows) {
      Tensors::Parts result;
      for (const std::string& name : of) result.push_back({layer + name, rows / of.size()});
      return result;
    };
    word_ = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, hidden,
                          Tensors::Init::normal_padding_zero);
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
        layer.tail.up = sizes.is_gated ? make_gated(tensors, parts(name, names.up, 2 * sizes.intermediate), hidden,
                                                    norm, sizes.up_bias, names.gate)
                                       : make_linear(tensors, parts(name, names.up, sizes.intermediate), hidden, norm,
                                                     sizes.up_bias);
        layer.tail.down = make_linear(tensors, {{name + names.down, hidden}}, sizes.intermediate, {}, sizes.down_bias);
      }
      layer.tail.output_norm = make_layer_norm(tensors, name + names.output_norm, hidden, sizes.eps);
      layers_.push_back(std::move(layer));
    }
    frequencies_ = tensors.numbers(sizes.rotation.frequencies);
  }

  Dimensions dimensions() const override {
    InputRules inputs = rotary_inputs(config_.vocabulary, config_.longest);
    inputs.token_types = config_.token_types;
    inputs.positions = inputs.columns = config_.limit;
    inputs.longest = std::min(inputs.longest, config_.limit);
    return {inputs, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
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

 private:
  Size config_;
  Weight word_, type_;
  Norm embedding_norm_;
  std::vector<Layer> layers_;
  Weight frequencies_;
};

void refuse(const ConfigReader& config, const char* field) {
  if (config.boolean(field, false)) config.fail(field, "false");
}

// Some files tell what follows from others.
void check_head_size(const ConfigReader& config, std::size_t head_size, const std::string& hidden_name) {
  if (const auto own = config.optional_int("head_dim", 1, kHiddenSize); own && size(*own) != head_size)
    config.fail("head_dim", std::to_string(head_size) + ", as follows from " + hidden_name);
}

// nomic's, in the files of its authors alone: transformers has none.
std::optional<Mixtures> read_mixtures(const ConfigReader& config) {
  const std::int64_t experts = config.non_negative_int("num_experts", 0, kExperts);
  if (experts == 0) {
    if (config.non_negative_int("moe_every_n_layers", 0, kLayers) > 0)
      config.fail("moe_every_n_layers", "none: num_experts names no experts");
    return std::nullopt;
  }
  for (const char* field : {"expert_choice_router", "moe_normalize_expert_weights"}) refuse(config, field);
  config.one_of("moe_impl", "megablocks", {"megablocks"});
  if (config.non_negative_int("num_shared_experts", 0, kExperts) > 0) config.fail("num_shared_experts", "0");
  if (config.positive_int("ffn_div", 1, kIntermediateSize) > 1)
    config.fail("ffn_div", "1: experts are as wide as the other layers");
  const std::int64_t chosen = config.positive_int("moe_top_k", experts);
  return Mixtures{size(config.positive_int("moe_every_n_layers", kLayers)), size(experts), size(chosen)};
}

// nomic. Its files have GPT-2's names of settings, transformers BERT's.
Size read_nomic(const ConfigReader& config) {
  for (const char* field : {"prenorm", "use_rms_norm", "rotary_emb_interleaved", "causal", "parallel_block",
                            "scale_attn_by_inverse_layer_idx"})
    refuse(config, field);
  // What the authors' defaults are is not what transformers' are, so files in their words must say it.
  for (const char* field : {"activation_function", "rotary_emb_base", "rotary_emb_fraction", "layer_norm_epsilon",
                            "qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"})
    if (config.has("n_embd") && !config.has(field))
      config.fail_with(std::string(field) + ": missing, expected beside n_embd");
  if (config.has("rotary_emb_base")) config.one_name("rotary_emb_base", "rope_theta");
  if (config.has("rotary_emb_scale_base")) config.fail("rotary_emb_scale_base", "null");
  if (config.positive_number("rotary_emb_fraction", 1.0) != 1.0)
    config.fail("rotary_emb_fraction", "1: heads turn as a whole");
  const char* const hidden_name = config.one_name("hidden_size", "n_embd");
  const char* const heads_name = config.one_name("num_attention_heads", "n_head");
  const char* const inner_name = config.one_name("intermediate_size", "n_inner");
  const std::int64_t hidden = config.positive_int(hidden_name, 768, kHiddenSize);
  const std::int64_t heads = config.positive_int(heads_name, 12, kHeads);
  const std::size_t head_size = rotary_head_size(config, hidden_name, hidden, heads_name, heads);
  check_head_size(config, head_size, hidden_name);
  // Some files have both, of which the first is how long the texts were that it learned from.
  const char* const positions_name = config.has("max_position_embeddings") ? "max_position_embeddings" : "n_positions";
  // As n_inner is called, its default is GPT-2's.
  const std::int64_t inner = config.has("n_embd") ? 4 * hidden : 3072;
  const char* const eps_name = config.one_name("layer_norm_eps", "layer_norm_epsilon");
  const double theta = config.positive_number("rotary_emb_base", 1000);
  const std::size_t longest = size(config.positive_int(positions_name, 2048, kPositions));
  Size found = {
      .vocabulary = size(config.positive_int("vocab_size", 30528, kVocabulary)),
      .hidden = size(hidden),
      .layers = size(config.positive_int(config.one_name("num_hidden_layers", "n_layer"), 12, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int(inner_name, inner, kIntermediateSize)),
      .longest = longest,
      .token_types = size(config.non_negative_int("type_vocab_size", 2, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number(eps_name, 1e-12)),
      .attention_bias = config.boolean("qkv_proj_bias", false),
      .up_bias = config.boolean("mlp_fc1_bias", false),
      .down_bias = config.boolean("mlp_fc2_bias", false),
      .is_gated = true,
      .activation = FILBERT_SILU,
      .rotation = read_rotation(config, {theta, head_size, longest}),
  };
  // Beyond the positions that were trained, this one turns slower the longer a text is.
  if (config.has("rotary_scaling_factor"))
    found.limit = size(config.positive_int("max_trained_positions", 2048, kPositions));
  const std::string gate = config.string("activation_function", "");
  if (gate == "swiglu" || gate == "geglu" || gate == "glu") {
    found.activation = gate == "swiglu" ? FILBERT_SILU : gate == "geglu" ? FILBERT_GELU_ERF : FILBERT_SIGMOID;
  } else {
    found.is_gated = gate.empty();  // a name of an activation: of a layer without a gate
    found.activation = read_activation(config, found.is_gated ? "hidden_act" : "activation_function", "silu");
  }
  found.mixtures = read_mixtures(config);
  if (found.mixtures && found.is_gated)
    config.fail("num_experts", "0 beside layers with a gate (activation_function): experts have none");
  return found;
}

Names nomic_hub_names(bool is_gated) {
  const std::vector<std::string> gated = {"mlp.fc12", "mlp.fc11"}, plain = {"mlp.fc1"};
  return {.embedding_norm = "emb_ln",
          .layers = "encoder.layers.",
          .qkv = {"attn.Wqkv"},
          .attention_out = "attn.out_proj",
          .attention_norm = "norm1",
          .up = is_gated ? gated : plain,
          .down = "mlp.fc2",
          .output_norm = "norm2"};
}

std::unique_ptr<Encoder> nomic(const ConfigReader& config, Tensors& tensors) {
  const Size sizes = read_nomic(config);
  const bool from_hub = !sizes.is_gated || tensors.has("encoder.layers.0.attn.Wqkv.weight");
  return std::make_unique<RotaryBert>(sizes, from_hub ? nomic_hub_names(sizes.is_gated) : native_names(true), tensors);
}

struct Defaults {
  std::int64_t vocabulary, hidden, layers, heads, intermediate, longest, token_types;
  double eps, theta;
};

// What gte and jina-embeddings-v3 have in common: biases, and names that are BERT's.
Size read(const ConfigReader& config, const Defaults& defaults) {
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

Size read_gte(const ConfigReader& config, const Defaults& defaults) {
  config.one_of("position_embedding_type", "rope", {"rope"});
  config.one_of("layer_norm_type", "layer_norm", {"layer_norm"});
  for (const char* field : {"logn_attention_scale", "logn_attention_clip1"}) refuse(config, field);
  Size found = read(config, defaults);
  found.is_gated = true;
  found.up_bias = false;
  return found;
}

Names gte_hub_names(bool is_packed) {
  const std::vector<std::string> packed = {"attention.qkv_proj"};
  const std::vector<std::string> apart = {"attention.q_proj", "attention.k_proj", "attention.v_proj"};
  return {.embedding_norm = "embeddings.LayerNorm",
          .layers = "encoder.layer.",
          .qkv = is_packed ? packed : apart,
          .attention_out = "attention.o_proj",
          .attention_norm = "attn_ln",
          .up = {"mlp.up_gate_proj"},
          .gate = Tensors::Gate::lower,
          .down = "mlp.down_proj",
          .output_norm = "mlp_ln"};
}

constexpr Defaults kGteDefaults = {250048, 768, 12, 12, 3072, 8192, 1, 1e-12, 160000};
constexpr Defaults kNewDefaults = {30528, 768, 12, 12, 3072, 2048, 1, 1e-12, 10000};

// Authors' code knows no rotation but the plain one and NTK's.
void refuse_other_rotations(const ConfigReader& config) {
  for (const char* field : {"rope_scaling", "rope_parameters"})
    if (const auto parameters = config.object(field))
      for (const char* type : {"rope_type", "type"}) parameters->one_of(type, "default", {"default", "ntk"});
}

// As transformers has it, or as the hub: there its model_type is "new".
std::unique_ptr<Encoder> gte(const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("encoder.layer.0.attn_ln.weight");
  const Names names = from_hub ? gte_hub_names(config.boolean("pack_qkv", true)) : native_names(true);
  return std::make_unique<RotaryBert>(read_gte(config, kGteDefaults), names, tensors);
}

std::unique_ptr<Encoder> new_(const ConfigReader& config, Tensors& tensors) {
  refuse_other_rotations(config);
  const bool from_transformers = tensors.has("layers.0.post_attention_layernorm.weight");
  const Names names = from_transformers ? native_names(true) : gte_hub_names(config.boolean("pack_qkv", true));
  return std::make_unique<RotaryBert>(read_gte(config, kNewDefaults), names, tensors);
}

Names jina_v3_hub_names() {
  return {.embedding_norm = "emb_ln",
          .layers = "encoder.layers.",
          .qkv = {"mixer.Wqkv"},
          .attention_out = "mixer.out_proj",
          .attention_norm = "norm1",
          .up = {"mlp.fc1"},
          .down = "mlp.fc2",
          .output_norm = "norm2"};
}

constexpr Defaults kJinaV3Defaults = {250002, 1024, 24, 16, 4096, 8194, 1, 1e-5, 20000};

std::unique_ptr<Encoder> jina_v3(const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("encoder.layers.0.mixer.Wqkv.weight");
  return std::make_unique<RotaryBert>(read(config, kJinaV3Defaults),
                                      from_hub ? jina_v3_hub_names() : native_names(false), tensors);
}

// The adapter of the task that the setting `task` names; without one, the weights as they are.
void add_adapter(const ConfigReader& config, Tensors& tensors) {
  const auto tasks = config.strings("lora_adaptations");
  if (!tasks) {
    if (config.has("task")) config.fail("task", "none: lora_adaptations names no tasks");
    return;
  }
  const std::size_t rank = size(config.positive_int("lora_rank", 4, kHiddenSize));
  const double alpha = config.positive_number("lora_alpha", 1);
  LowRank changes = {tasks->size(), rank, static_cast<float>(alpha / static_cast<double>(rank)), std::nullopt};
  if (config.has("task")) {
    const auto found = std::find(tasks->begin(), tasks->end(), config.string("task"));
    std::string known;
    for (const std::string& task : *tasks) known += (known.empty() ? "" : ", ") + task;
    if (found == tasks->end()) config.fail("task", "one of " + known);
    changes.chosen = static_cast<std::size_t>(found - tasks->begin());
  }
  tensors.change(changes);
  if (changes.chosen && tensors.loads() && !tensors.has("embeddings.word_embeddings.parametrizations.weight.original"))
    config.fail("task", "none: the weights have no adapters");
}

// On the hub its model_type is "xlm-roberta".
std::unique_ptr<Encoder> jina_v3_from_hub(const ConfigReader& config, Tensors& tensors) {
  Defaults defaults = kJinaV3Defaults;
  defaults.theta = config.positive_number("rotary_emb_base", 10000);
  refuse_other_rotations(config);
  add_adapter(config, tensors);
  return std::make_unique<RotaryBert>(read(config, defaults), jina_v3_hub_names(), tensors);
}

std::unique_ptr<Head> jina_v3_head(Task task, const ConfigReader& config, Tensors& tensors) {
  if (config.has("position_embedding_type")) add_adapter(config, tensors);  // of the hub
  const Size sizes = read(config, kJinaV3Defaults);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

// The labels of nomic_bert and gte.
std::unique_ptr<Head> labels_head(Task task, const ConfigReader& config, Tensors& tensors, std::size_t hidden) {
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first,
                  inner_layer(tensors, "pooler.dense", hidden, hidden, FILBERT_TANH, Tensors::Owner::base),
                  "classifier");
  if (task == Task::token_classification) return labels(config, tensors, Over::each, {hidden}, "classifier");
  return nullptr;
}

std::unique_ptr<Head> nomic_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const Size sizes = read_nomic(config);
  if (task != Task::masked_lm) return labels_head(task, config, tensors, sizes.hidden);
  const std::string name = "cls.predictions.";
  return words(config, tensors,
               inner_layer(tensors, name + "transform.dense", sizes.hidden, sizes.hidden, sizes.activation,
                           name + "transform.layer_norm", sizes.eps),
               {"embeddings.word_embeddings.weight", name + "decoder", name + "bias"}, sizes.vocabulary);
}

std::unique_ptr<Head> gte_head(Task task, const ConfigReader& config, Tensors& tensors, const Size& sizes,
                               const std::string& norm) {
  if (task != Task::masked_lm) return labels_head(task, config, tensors, sizes.hidden);
  return words(config, tensors,
               inner_layer(tensors, "lm_head.dense", sizes.hidden, sizes.hidden, FILBERT_GELU_ERF, norm, sizes.eps),
               {"embeddings.word_embeddings.weight", "lm_head.decoder", ""}, sizes.vocabulary);
}

std::unique_ptr<Head> gte_native_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const bool from_hub = tensors.has("lm_head.norm.weight");
  return gte_head(task, config, tensors, read_gte(config, kGteDefaults),
                  from_hub ? "lm_head.norm" : "lm_head.layer_norm");
}

std::unique_ptr<Head> gte_hub_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const bool from_transformers = tensors.has("lm_head.layer_norm.weight");
  return gte_head(task, config, tensors, read_gte(config, kNewDefaults),
                  from_transformers ? "lm_head.layer_norm" : "lm_head.norm");
}

}  // namespace

extern const Family kNomicBert = {"nomic_bert", {"nomic_bert.", "bert."}, nomic, nomic_head};
extern const Family kGte = {"gte", {"gte.", "new."}, gte, gte_native_head};
extern const Family kNew = {"new", {"new.", "gte."}, new_, gte_hub_head};
extern const Family kJinaV3 = {"jina_embeddings_v3", {"roberta."}, jina_v3, jina_v3_head};
extern const Family kJinaV3Hub = {"xlm-roberta", {"roberta."}, jina_v3_from_hub, jina_v3_head, "rotary"};

}  // namespace filbert
