// Llama (Touvron et al., arXiv:2302.13971) and what differs from it in little, as it makes vectors of texts (E5:
// arXiv:2401.00368): pre-norm with RMS norms, rotary positions, several heads of q to one of k and v, a gated
// feed-forward layer, and causal attention. Mistral (arXiv:2310.06825) sees only what is near; Qwen2 (arXiv:2407.10671)
// has biases of q, k and v; Qwen3 (arXiv:2505.09388; arXiv:2506.05176) norms every head of q and k. Tokens of EuroBERT
// (Boizard et al., arXiv:2503.05500) see each other, and so do those of UltraBERT (huggingface.co/dmis-lab), in most
// layers only what is near; these have a rotation of their own.
#include "models/llama_sizes.h"

#include <string>
#include <utility>

#include "models/heads.h"
#include "models/layers.h"

namespace filbert {
namespace {

struct Layer {
  Norm attention_norm, q_norm, k_norm;
  Linear qkv;
  PreNormTail tail;
};

class Llama : public Encoder {
 public:
  Llama(LlamaSizes sizes, Tensors& tensors) : config_(std::move(sizes)) {
    const std::size_t hidden = config_.hidden, head_size = config_.head_size, intermediate = config_.intermediate;
    const std::size_t q_width = config_.heads * head_size, kv_width = config_.kv_heads * head_size;
    const auto make_norm = [&](const std::string& name, std::size_t width) {
      return make_rms_norm(tensors, name, width, config_.eps);
    };
    word_ = tensors.table("embed_tokens.weight", config_.vocabulary, hidden, Tensors::Init::normal_padding_zero);
    for (std::size_t i = 0; i < config_.layers; ++i) {
      const std::string name = "layers." + std::to_string(i) + ".";
      const std::string attention = name + "self_attn.";
      Layer layer;
      layer.attention_norm = make_norm(name + "input_layernorm", hidden);
      layer.qkv = make_qkv(
          tensors,
          {{attention + "q_proj", q_width}, {attention + "k_proj", kv_width}, {attention + "v_proj", kv_width}}, hidden,
          layer.attention_norm.names, config_.qkv_bias);
      if (config_.norms_heads) {
        layer.q_norm = make_norm(attention + "q_norm", head_size);
        layer.k_norm = make_norm(attention + "k_norm", head_size);
      }
      layer.tail.attention_out =
          make_linear(tensors, {{attention + "o_proj", hidden}}, q_width, {}, config_.attention_out_bias);
      layer.tail.mlp_norm = make_norm(name + "post_attention_layernorm", hidden);
      layer.tail.up =
          make_gated(tensors, {{name + "mlp.gate_proj", intermediate}, {name + "mlp.up_proj", intermediate}}, hidden,
                     layer.tail.mlp_norm.names, config_.mlp_bias);
      layer.tail.down = make_linear(tensors, {{name + "mlp.down_proj", hidden}}, intermediate, {}, config_.mlp_bias);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = make_norm("norm", hidden);
    full_frequencies_ = tensors.numbers(config_.full.frequencies);
    sliding_frequencies_ = tensors.numbers(config_.sliding.frequencies);
  }

  Dimensions dimensions() const override {
    return {rotary_inputs(config_.vocabulary, config_.longest), config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const auto& [ops, batch, arena, trace, rows] = run;
    const std::size_t hidden = config_.hidden, head_size = config_.head_size;
    const std::size_t q_width = config_.heads * head_size, kv_width = config_.kv_heads * head_size;
    const std::size_t width = q_width + 2 * kv_width;
    void* x = arena.activations(batch.tokens, hidden);
    void* sum = arena.activations(batch.tokens, hidden);
    void* normed = arena.activations(batch.tokens, hidden);
    void* qkv = arena.activations(batch.tokens, width);
    void* context = arena.activations(batch.tokens, q_width);
    void* inner = arena.activations(batch.tokens, config_.intermediate);

    filbert_attention_args attention = attention_over(batch, qkv, config_.heads, config_.kv_heads, head_size, context);
    attention.causal = config_.causal;
    const float scale = attention.scale;
    const std::size_t turning = config_.heads + config_.kv_heads;  // those of q and k, side by side

    ops.token_ops({embed(embed_of(batch, word_, {}, {}, hidden, x))},
                  batch.tokens);  // [tokens, hidden]
    trace.hidden_state(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const bool is_last = i + 1 == layers_.size(), is_sliding = config_.is_sliding[i];
      const Rows wanted = is_last ? rows : Rows::all;
      const std::size_t tokens = wanted == Rows::all ? batch.tokens : batch.sequences;
      attention.rows = rows_op(wanted);
      attention.window = is_sliding ? config_.window : 0;
      attention.scale = scale * (is_sliding ? config_.sliding : config_.full).score_scale;
      trace.next_attention(attention);
      const filbert_token_op normalize = layer.attention_norm(x, normed, FILBERT_NEXT_ALONE);  // [tokens, hidden]
      const filbert_token_op project = layer.qkv.to_heads(normed, qkv, head_size);             // [tokens, width]
      const Weight& frequencies = is_sliding ? sliding_frequencies_ : full_frequencies_;
      const filbert_token_op turn = rope({attention.q, turning, head_size, batch.positions, frequencies, head_size});
      if (config_.norms_heads)
        ops.token_ops({normalize, project, layer.q_norm.of_heads(attention.q, config_.heads),
                       layer.k_norm.of_heads(attention.k, config_.kv_heads), turn},
                      batch.tokens);
      else
        ops.token_ops({normalize, project, turn}, batch.tokens);
      ops.attention(attention);  // [tokens, q_width]
      if (wanted != Rows::all) x = gather_wanted(run, x, hidden);
      layer.tail(ops, context, x, sum, normed, inner, config_.activation, tokens);  // [tokens, hidden]
      trace.attention_done();
      if (is_last) {
        ops.token_ops({final_norm_(x, normed)}, tokens);  // [tokens, hidden]
        x = normed;
      }
      trace.hidden_state(x);
    }
    return x;
  }

 private:
  LlamaSizes config_;
  Weight word_;
  std::vector<Layer> layers_;
  Norm final_norm_;
  Weight full_frequencies_, sliding_frequencies_;
};

using ReadSizes = LlamaSizes(const ConfigReader&);

template <ReadSizes kRead>
std::unique_ptr<Encoder> encoder(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<Llama>(kRead(config), tensors);
}

template <ReadSizes kRead>
std::unique_ptr<Head> decoder_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const LlamaSizes sizes = kRead(config);
  switch (task) {
    case Task::sequence_classification:
      return labels(config, tensors, Over::last, {sizes.hidden}, "score", false, read_padding_id(config));
    case Task::token_classification:
      return labels(config, tensors, Over::each, {sizes.hidden}, "score",
                    config.boolean("token_classification_bias", true));
    case Task::question_answering:
      return spans(config, tensors, {sizes.hidden});
    case Task::next_token:
      return next_tokens(config, tensors, sizes.hidden, {"embed_tokens.weight", "lm_head", "", false, false},
                         sizes.vocabulary);
    default:
      return nullptr;
  }
}

// Logits of a text are means of those of its tokens, or of the mean or the first of them.
Over eurobert_pooling(const ConfigReader& config) {
  const char* const name = config.one_name("classifier_pooling", "clf_pooling");  // the latter of its authors' code
  const std::string pooling = config.one_of(name, "late", {"bos", "mean", "late"});
  return pooling == "bos" ? Over::first : pooling == "mean" ? Over::mean : Over::mean_of_inner;
}

std::unique_ptr<Head> eurobert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const LlamaSizes sizes = read_eurobert(config);
  const std::size_t hidden = sizes.hidden;
  switch (task) {
    case Task::sequence_classification:
      return labels(config, tensors, eurobert_pooling(config),
                    inner_layer(tensors, "dense", hidden, hidden, FILBERT_GELU_ERF), "classifier");
    case Task::token_classification:
      return labels(config, tensors, Over::each, {hidden}, "classifier");
    case Task::masked_lm:
      return words(config, tensors, {hidden}, {"embed_tokens.weight", "lm_head", "", sizes.mlp_bias, false},
                   sizes.vocabulary);
    default:
      return nullptr;
  }
}

// Words stand on two layers; the last one is "cls" in the files of its authors, which is what transformers saves, too.
HeadInner ultrabert_words(const ConfigReader& config, Tensors& tensors, std::size_t hidden) {
  constexpr auto kHead = Tensors::Owner::head;
  const std::size_t between = size(config.positive_int("prediction_head_size", 768, config_limits::kIntermediateSize));
  HeadInner inner = inner_layer(tensors, "head.linear1", hidden, between, FILBERT_GELU_TANH, kHead, false);
  inner.second = make_linear(tensors, {{"head.linear2", hidden}}, between, {}, false, kHead);
  inner.between = between;
  inner.width = hidden;
  return inner;
}

std::unique_ptr<Head> ultrabert_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const LlamaSizes sizes = read_ultrabert(config);
  const std::size_t hidden = sizes.hidden;
  if (task == Task::masked_lm) {
    const char* const decoder = tensors.has("head.decoder.weight") ? "head.decoder" : "cls";
    return words(config, tensors, ultrabert_words(config, tensors, hidden),
                 {"embed_tokens.weight", decoder, "", false, false}, sizes.vocabulary);
  }
  if (task != Task::sequence_classification) return token_head(task, config, tensors, hidden);
  const bool is_of_first = config.one_of("classifier_pooling", "cls", {"cls", "mean"}) == "cls";
  return labels(config, tensors, is_of_first ? Over::first : Over::mean, {hidden}, "classifier");
}

}  // namespace

extern const Family kEurobert = {"eurobert", {"model."}, encoder<read_eurobert>, eurobert_head};
extern const Family kLlama = {
    "llama", {"model.", "transformer."}, encoder<read_llama>, decoder_head<read_llama>, "", "transformer."};
extern const Family kMistral = {"mistral", {"model."}, encoder<read_mistral>, decoder_head<read_mistral>};
extern const Family kQwen2 = {
    "qwen2", {"model.", "transformer."}, encoder<read_qwen2>, decoder_head<read_qwen2>, "", "transformer."};
extern const Family kQwen3 = {
    "qwen3", {"model.", "transformer."}, encoder<read_qwen3>, decoder_head<read_qwen3>, "", "transformer."};
extern const Family kUltrabert = {"ultrabert", {"ultrabert.", "model."}, encoder<read_ultrabert>, ultrabert_head};

}  // namespace filbert
