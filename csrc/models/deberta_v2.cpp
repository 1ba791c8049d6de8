// DeBERTa-v2 and -v3 (He et al., arXiv:2006.03654 and arXiv:2111.09543): BERT whose attention also
// scores what a token says against where the other one stands. Distances are counted in buckets that widen, and one
// convolution over the embeddings may stand beside the first layer.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "models/activations.h"
#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

using namespace config_limits;

struct Size {
  std::size_t vocabulary, embedding, hidden, layers, heads, intermediate, positions, token_types;
  float eps;
  filbert_activation activation;
  bool has_positions;             // a table of them
  bool is_relative, shares_keys;  // shares: the layers' own projections make the position tables, too
  bool to_position, to_content;   // the two terms of attention: content to position, position to content
  std::int64_t buckets;           // 0: a bucket for each distance
  std::int64_t farthest;          // the distance that buckets end at
  bool norms_positions;
  std::size_t kernel, groups;  // of the convolution; 0: there is none
  filbert_activation kernel_activation;

  std::int64_t span() const { return buckets > 0 ? buckets : farthest; }
  std::size_t rows() const { return 2 * size(span()); }  // of the table of relative positions
  std::size_t terms() const { return std::size_t{to_position} + std::size_t{to_content}; }
};

// "A | b" names a and b.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> names(1);
  for (const char c : text) {
    if (c == '|')
      names.emplace_back();
    else
      names.back() += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  for (std::string& name : names) {
    name.erase(0, name.find_first_not_of(" \t\n"));
    name.erase(name.find_last_not_of(" \t\n") + 1);
  }
  return names;
}

// Whether `wanted` is among the names, which are known ones, or empty.
bool has_name(const ConfigReader& config, const char* field, const std::vector<std::string>& names,
              std::string_view wanted, const std::array<std::string_view, 2>& known) {
  for (const std::string& name : names)
    if (!name.empty() && name != known[0] && name != known[1])
      config.fail(field, "names among " + std::string(known[0]) + " and " + std::string(known[1]));
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

bool has_term(const ConfigReader& config, std::string_view term) {
  constexpr char kField[] = "pos_att_type";
  const JsonValue* const value = config.find(kField);
  const bool is_list = value && value->array();
  return has_name(config, kField, is_list ? *config.strings(kField) : split(config.string(kField, "")), term,
                  {"c2p", "p2c"});
}

Size read(const ConfigReader& config) {
  const std::int64_t hidden = config.positive_int("hidden_size", 1536, kHiddenSize);
  const std::int64_t heads = config.positive_int("num_attention_heads", 24, kHeads);
  config.require_divisible("hidden_size", hidden, "num_attention_heads", heads);
  // transformers projects what the heads give as if it were as wide as everything else.
  if (config.positive_int("attention_head_size", hidden / heads, kHiddenSize) != hidden / heads)
    config.fail("attention_head_size", "hidden_size / num_attention_heads (" + std::to_string(hidden / heads) + ")");
  const std::int64_t positions = config.positive_int("max_position_embeddings", 512, kPositions);
  const std::int64_t farthest = config.optional_int("max_relative_positions", -kPositions, kPositions).value_or(-1);
  const std::int64_t kernel = config.non_negative_int("conv_kernel_size", 0, kPositions);
  if (kernel > 0 && kernel % 2 == 0)
    config.fail("conv_kernel_size", "0 or an odd integer: it has a token in its middle");
  const std::int64_t groups = config.positive_int("conv_groups", 1, kHiddenSize);
  if (kernel > 0) config.require_divisible("hidden_size", hidden, "conv_groups", groups);
  Size found = {
      .vocabulary = size(config.positive_int("vocab_size", 128100, kVocabulary)),
      .embedding = size(config.positive_int("embedding_size", hidden, kHiddenSize)),
      .hidden = size(hidden),
      .layers = size(config.positive_int("num_hidden_layers", 24, kLayers)),
      .heads = size(heads),
      .intermediate = size(config.positive_int("intermediate_size", 6144, kIntermediateSize)),
      .positions = size(positions),
      .token_types = size(config.non_negative_int("type_vocab_size", 0, kTokenTypes)),
      .eps = static_cast<float>(config.positive_number("layer_norm_eps", 1e-7)),
      .activation = read_activation(config, "hidden_act", "gelu"),
      .has_positions = config.boolean("position_biased_input", true),
      .is_relative = config.boolean("relative_attention", false),
      .shares_keys = config.boolean("share_att_key", false),
      .to_position = has_term(config, "c2p"),
      .to_content = has_term(config, "p2c"),
      .buckets =
          std::max<std::int64_t>(config.optional_int("position_buckets", -kPositions, kPositions).value_or(0), 0),
      .farthest = farthest < 1 ? positions : farthest,
      .norms_positions = has_name(config, "norm_rel_ebd", split(config.string("norm_rel_ebd", "none")), "layer_norm",
                                  {"none", "layer_norm"}),
      .kernel = size(kernel),
      .groups = size(groups),
      .kernel_activation = read_activation(config, "conv_act", "tanh"),
  };
  if (found.is_relative && found.buckets == 1) config.fail("position_buckets", "-1 or an integer above 1");
  if (found.is_relative && found.buckets > 1 && found.farthest - 1 <= found.buckets / 2)
    config.fail(farthest < 1 ? "max_position_embeddings" : "max_relative_positions",
                "more than position_buckets / 2 + 1 (" + std::to_string(found.buckets / 2 + 1) +
                    "): buckets widen from there on");
  return found;
}

// Of a token so many columns after the other one. The middle half of the buckets are of one distance each; further
// away their logarithms count, in float32 as in transformers.
std::int64_t bucket_of(const Size& sizes, std::int64_t distance) {
  const std::int64_t middle = sizes.buckets / 2, away = std::abs(distance);
  if (sizes.buckets == 0 || away <= middle) return distance;
  const auto logarithm = [&](std::int64_t of) {
    return std::log(static_cast<float>(static_cast<double>(of) / static_cast<double>(middle)));
  };
  const float share = logarithm(away) / logarithm(sizes.farthest - 1);
  const auto bucket = static_cast<std::int64_t>(std::ceil(share * static_cast<float>(middle - 1))) + middle;
  return distance < 0 ? -bucket : bucket;
}

// The row of the position tables, which begin with what lies furthest before.
std::int64_t row_of(const Size& sizes, std::int64_t distance) {
  const std::int64_t span = sizes.span();
  // transformers counts from the key to the query, and clips to [-span, span - 1].
  return span - 1 - std::clamp(bucket_of(sizes, -distance), -span, span - 1);
}

// Beyond it, rows stay the same on both sides.
std::int64_t reach_of(const Size& sizes) {
  std::int64_t reach = kPositions;
  const auto is_like_reach = [&](std::int64_t distance) {
    return row_of(sizes, distance) == row_of(sizes, kPositions) &&
           row_of(sizes, -distance) == row_of(sizes, -kPositions);
  };
  for (std::int64_t low = 0; low < reach;) {
    const std::int64_t half = low + (reach - low) / 2;
    if (is_like_reach(half))
      reach = half;
    else
      low = half + 1;
  }
  return reach;
}

// conv.weight [hidden, hidden / groups, kernel] as a matrix [hidden, kernel hidden]: zeros between groups.
std::vector<float> convolution(const Size& sizes, const std::vector<float>& weight) {
  const std::size_t hidden = sizes.hidden, width = hidden / sizes.groups;
  std::vector<float> matrix(hidden * sizes.kernel * hidden);
  for (std::size_t row = 0; row < hidden; ++row)
    for (std::size_t i = 0; i < width; ++i)
      for (std::size_t tap = 0; tap < sizes.kernel; ++tap)
        matrix[(row * sizes.kernel + tap) * hidden + row / width * width + i] =
            weight[(row * width + i) * sizes.kernel + tap];
  return matrix;
}

struct Layer {
  Linear qkv;
  PostNormTail tail;
  std::vector<Activations> tables;  // what these lie in:
  filbert_heads position_k, position_q;
};

class DebertaV2 : public Encoder {
 public:
  DebertaV2(const Size& sizes, Tensors& tensors) : config_(sizes) {
    using Init = Tensors::Init;
    const std::size_t hidden = sizes.hidden;
    const auto norm = [&](const std::string& name) { return make_layer_norm(tensors, name, hidden, sizes.eps); };
    word_ = tensors.table("embeddings.word_embeddings.weight", sizes.vocabulary, sizes.embedding,
                          Init::normal_padding_zero);
    if (sizes.has_positions)
      position_ = tensors.table("embeddings.position_embeddings.weight", sizes.positions, sizes.embedding);
    if (sizes.token_types > 0)
      type_ = tensors.table("embeddings.token_type_embeddings.weight", sizes.token_types, sizes.embedding);
    if (sizes.embedding != hidden)
      project_ = make_linear(tensors, {{"embeddings.embed_proj", hidden}}, sizes.embedding, {}, false);
    embedding_norm_ = norm("embeddings.LayerNorm");
    const Activations relative = relative_positions(tensors);
    for (std::size_t i = 0; i < sizes.layers; ++i) {
      const std::string name = "encoder.layer." + std::to_string(i) + ".", own = name + "attention.self.";
      const Norm& input = i == 0                       ? embedding_norm_
                          : i == 1 && sizes.kernel > 0 ? kernel_norm_
                                                       : layers_.back().tail.output_norm;
      Layer layer = {};
      layer.qkv =
          make_qkv(tensors, {{own + "query_proj", hidden}, {own + "key_proj", hidden}, {own + "value_proj", hidden}},
                   hidden, input.names);
      project_positions(tensors, own, relative, layer);
      layer.tail.attention_out = make_linear(tensors, {{name + "attention.output.dense", hidden}}, hidden);
      layer.tail.attention_norm = norm(name + "attention.output.LayerNorm");
      layer.tail.up = make_linear(tensors, {{name + "intermediate.dense", sizes.intermediate}}, hidden,
                                  layer.tail.attention_norm.names);
      layer.tail.down = make_linear(tensors, {{name + "output.dense", hidden}}, sizes.intermediate);
      layer.tail.output_norm = norm(name + "output.LayerNorm");
      layers_.push_back(std::move(layer));
      if (i > 0 || sizes.kernel == 0) continue;
      kernel_.weight = tensors.computed_matrix(
          "encoder.conv.conv.weight", {hidden, hidden / sizes.groups, sizes.kernel}, sizes.kernel * hidden,
          [&](const std::vector<float>& weight) { return convolution(sizes, weight); });
      kernel_.bias = tensors.vector({{"encoder.conv.conv.bias", hidden}}, Init::zeros);
      kernel_norm_ = norm("encoder.conv.LayerNorm");
    }
    if (!is_disentangled()) return;
    reach_ = reach_of(sizes);
    rows_ = tensors.numbers([&] {
      std::vector<float> rows;
      for (std::int64_t distance = -reach_; distance <= reach_; ++distance)
        rows.push_back(static_cast<float>(row_of(sizes, distance)));
      return rows;
    });
  }

  Dimensions dimensions() const override {
    InputRules inputs = {.vocabulary = config_.vocabulary,
                         .token_types = config_.token_types,
                         .positions = config_.positions,
                         .longest = config_.positions};
    if (!config_.has_positions) {
      inputs = rotary_inputs(config_.vocabulary, config_.positions);
      inputs.token_types = config_.token_types;
    }
    return {inputs, config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, head_size = hidden / config_.heads;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, 3 * hidden);
    void* context = arena.activations(batch.tokens, hidden);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_disentangled_args terms = {};
    terms.attention = attention_over(batch, qkv, config_.heads, config_.heads, head_size, context);
    terms.attention.scale = 1.0f / std::sqrt(static_cast<float>(head_size * (1 + config_.terms())));
    terms.rows = rows_;
    terms.reach = size(reach_);

    embed_tokens(run, sum, x);  // [tokens, hidden]
    trace.hidden_state(x);
    const void* around = nullptr;
    if (config_.kernel > 0) around = around_tokens(run, x);  // [tokens, kernel hidden]
    for (const Layer& layer : layers_) {
      const Rows wanted = &layer == &layers_.back() ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      terms.attention.rows = rows_op(wanted);
      trace.next_attention(terms.attention);
      ops.token_ops({layer.qkv.to_heads(x, qkv, head_size)}, batch.tokens);  // [tokens, 3 hidden]
      terms.position_k = layer.position_k;
      terms.position_q = layer.position_q;
      is_disentangled() ? ops.disentangled_attention(terms) : ops.attention(terms.attention);  // [tokens, hidden]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      layer.tail(ops, context, x, sum, inner, config_.activation, tokens);  // [tokens, hidden]
      if (around && &layer == &layers_.front()) {
        if (wanted != Rows::all) around = gather_wanted(run, around, config_.kernel * hidden);
        ops.token_ops({kernel_(around, sum, FILBERT_NEXT_ALONE, config_.kernel_activation, x),  // [tokens, hidden]
                       kernel_norm_(sum, x)},                                                   // [tokens, hidden]
                      tokens);
      }
      trace.attention_done();
      trace.hidden_state(x);
    }
    return x;
  }

 private:
  bool is_disentangled() const { return config_.is_relative && config_.terms() > 0; }

  // The table of relative positions [rows, hidden], what lies furthest before first, or null.
  Activations relative_positions(Tensors& tensors) const {
    Weight table;
    Norm norm;
    if (config_.is_relative) table = tensors.table("encoder.rel_embeddings.weight", config_.rows(), config_.hidden);
    if (config_.norms_positions) norm = make_layer_norm(tensors, "encoder.LayerNorm", config_.hidden, config_.eps);
    if (!is_disentangled()) return {};
    return tensors.kept(config_.rows(), config_.hidden, [&](const Ops& ops, void* out) {
      std::vector<std::int32_t> order(config_.rows());
      std::iota(order.rbegin(), order.rend(), 0);
      const Activations ids(ops, ops.alloc(order.size() * sizeof(std::int32_t)));
      ops.upload(ids, order.data(), order.size() * sizeof(std::int32_t));
      const auto* const at = static_cast<const std::int32_t*>(static_cast<void*>(ids));
      const auto rows_to = [&](void* to, filbert_readers readers) {
        return embed({at, at, at, table, nullptr, nullptr, config_.hidden, to, 1}, readers);
      };
      if (config_.norms_positions) {
        const Activations rows(ops, ops.alloc(order.size() * config_.hidden * ops.device().activation_bytes));
        ops.token_ops({rows_to(rows, FILBERT_NEXT_ALONE), norm(rows, out)}, order.size());
        ops.sync();  // before the rows are freed
      } else {
        ops.token_ops({rows_to(out, FILBERT_OTHERS)}, order.size());
      }
      ops.sync();
    });
  }

  void project_positions(Tensors& tensors, const std::string& name, const Activations& relative, Layer& layer) const {
    const std::size_t hidden = config_.hidden, head_size = hidden / config_.heads;
    const auto project = [&](const Linear& by, std::size_t width) -> void* {
      layer.tables.push_back(tensors.kept(config_.rows(), width, [&](const Ops& ops, void* out) {
        ops.token_ops({by.to_heads(relative, out, head_size)}, config_.rows());
      }));
      return layer.tables.back();
    };
    const auto project_by = [&](const char* projection) -> filbert_heads {
      return {project(make_linear(tensors, {{name + projection, hidden}}, hidden), hidden), hidden, 0, config_.rows()};
    };
    if (!is_disentangled()) return;
    if (config_.shares_keys) {
      void* const qkv = project(layer.qkv, 3 * hidden);  // of v nobody asks
      if (config_.to_position) layer.position_k = {qkv, 3 * hidden, hidden, config_.rows()};
      if (config_.to_content) layer.position_q = {qkv, 3 * hidden, 0, config_.rows()};
    } else {
      if (config_.to_position) layer.position_k = project_by("pos_key_proj");
      if (config_.to_content) layer.position_q = project_by("pos_query_proj");
    }
  }

  // To x [tokens, hidden].
  void embed_tokens(const Run& run, void* sum, void* x) const {
    const Batch& batch = run.batch;
    const auto table_rows = [&](void* out) {
      return embed(embed_of(batch, word_, type_, position_, config_.embedding, out),
                   FILBERT_NEXT_ALONE);  // [tokens, embedding]
    };
    if (config_.embedding == config_.hidden) {
      run.ops.token_ops({table_rows(sum), embedding_norm_(sum, x)}, batch.tokens);
      return;
    }
    void* narrow = run.arena.activations(batch.tokens, config_.embedding);
    run.ops.token_ops({table_rows(narrow), project_(narrow, sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)},
                      batch.tokens);
  }

  // What the convolution multiplies: [tokens, kernel hidden], in the arena.
  void* around_tokens(const Run& run, const void* x) const {
    void* out = run.arena.activations(run.batch.tokens, config_.kernel * config_.hidden);
    run.ops.neighbours({&run.batch, x, config_.hidden, config_.kernel / 2, out});
    return out;
  }

  Size config_;
  Weight word_, type_, position_;
  Linear project_;
  Norm embedding_norm_;
  Linear kernel_;
  Norm kernel_norm_;
  std::vector<Layer> layers_;
  Weight rows_;
  std::int64_t reach_ = 0;
};

std::unique_ptr<Encoder> deberta_v2(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<DebertaV2>(read(config), tensors);
}

// Of a file from before transformers had one, or as it has it.
std::unique_ptr<Head> words_head(const ConfigReader& config, Tensors& tensors, const Size& sizes) {
  const bool has_own_names = tensors.has("lm_predictions.lm_head.dense.weight");
  const bool is_legacy =
      !has_own_names && (tensors.has("cls.predictions.transform.dense.weight") || config.boolean("legacy", true));
  const std::string name = is_legacy ? "cls.predictions." : "lm_predictions.lm_head.";
  const std::string transform = is_legacy ? name + "transform." : name;
  const std::string decoder = is_legacy ? name + "decoder" : "";
  const std::size_t width = is_legacy ? sizes.embedding : sizes.hidden;
  if (width != sizes.embedding)
    config.fail("embedding_size", "hidden_size: the masked language model multiplies by the table of words");
  return words(config, tensors,
               inner_layer(tensors, transform + "dense", sizes.hidden, width, sizes.activation, transform + "LayerNorm",
                           sizes.eps),
               {"embeddings.word_embeddings.weight", decoder, name + "bias"}, sizes.vocabulary);
}

std::unique_ptr<Head> deberta_v2_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const Size sizes = read(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::sequence_classification) {
    if (config.positive_int("pooler_hidden_size", static_cast<std::int64_t>(hidden), kHiddenSize) !=
        static_cast<std::int64_t>(hidden))
      config.fail("pooler_hidden_size", "hidden_size (" + std::to_string(hidden) + ")");
    const filbert_activation activation = read_activation(config, "pooler_hidden_act", "gelu");
    return labels(config, tensors, Over::first, inner_layer(tensors, "pooler.dense", hidden, hidden, activation),
                  "classifier");
  }
  if (task == Task::masked_lm) return words_head(config, tensors, sizes);
  return token_head(task, config, tensors, hidden);
}

}  // namespace

extern const Family kDebertaV2 = {"deberta-v2", {"deberta."}, deberta_v2, deberta_v2_head};

}  // namespace filbert
