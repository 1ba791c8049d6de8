// BERT with norms before each part: Megatron-BERT (Shoeybi et al., arXiv:1909.08053), fairseq's RoBERTa-PreLayerNorm
// (Ott et al., arXiv:1904.01038), which norms its embeddings, too, and XLM-RoBERTa-XL (Goyal et al., arXiv:2105.00572).
#include <string>

#include "models/heads.h"
#include "models/pre_norm_layers.h"

namespace filbert {
namespace {

// Names of norms; that of the embeddings may be none.
struct Names {
  std::string embedding;
  PreNormNames layers;
};

class PreNormBert : public Encoder {
 public:
  PreNormBert(const BertSize& sizes, const Names& names, Tensors& tensors)
      : config_(sizes),
        tables_(sizes, tensors),
        embedding_norm_(names.embedding.empty() ? Norm()
                                                : make_layer_norm(tensors, names.embedding, sizes.hidden, sizes.eps)),
        layers_(sizes, names.layers, tensors) {}

  Dimensions dimensions() const override {
    return {bert_inputs(config_), config_.hidden, config_.layers, config_.heads};
  }

  void* forward(Run& run) const override {
    const std::size_t tokens = run.batch.tokens;
    void* x = run.arena.activations(tokens, config_.hidden);
    void* sum = run.arena.activations(tokens, config_.hidden);
    if (embedding_norm_.gamma)
      run.ops.token_ops({tables_(run.batch, sum, FILBERT_NEXT_ALONE), embedding_norm_(sum, x)}, tokens);
    else
      run.ops.token_ops({tables_(run.batch, x)}, tokens);
    return layers_(run, x, sum);  // [tokens, hidden]
  }

 private:
  BertSize config_;
  BertTables tables_;
  Norm embedding_norm_;
  PreNormLayers layers_;
};

BertSize read(const ConfigReader& config, const BertDefaults& defaults) {
  config.one_of("position_embedding_type", "absolute", {"absolute"});
  return read_bert_size(config, defaults);
}

BertSize read_counted(const ConfigReader& config, const BertDefaults& defaults) {
  BertSize found = read(config, defaults);
  count_positions(config, found);
  return found;
}

BertSize read_megatron(const ConfigReader& config) {
  return read(config, {.vocabulary = 29056, .hidden = 1024, .layers = 24, .heads = 16, .intermediate = 4096});
}

BertSize read_roberta(const ConfigReader& config) { return read_counted(config, {.vocabulary = 50265}); }

BertSize read_xl(const ConfigReader& config) {
  return read_counted(config, {.vocabulary = 250880,
                               .hidden = 2560,
                               .layers = 36,
                               .heads = 32,
                               .intermediate = 10240,
                               .positions = 514,
                               .token_types = 1,
                               .eps = 1e-5});
}

std::unique_ptr<Encoder> megatron(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<PreNormBert>(read_megatron(config), Names{"", {"attention.ln", "ln", "encoder.ln"}}, tensors);
}

std::unique_ptr<Encoder> roberta(const ConfigReader& config, Tensors& tensors) {
  const Names names = {"embeddings.LayerNorm", {"attention.LayerNorm", "intermediate.LayerNorm", "LayerNorm"}};
  return std::make_unique<PreNormBert>(read_roberta(config), names, tensors);
}

std::unique_ptr<Encoder> xl(const ConfigReader& config, Tensors& tensors) {
  const Names names = {"", {"attention.self_attn_layer_norm", "LayerNorm", "encoder.LayerNorm"}};
  return std::make_unique<PreNormBert>(read_xl(config), names, tensors);
}

std::unique_ptr<Head> megatron_head(Task task, const ConfigReader& config, Tensors& tensors) {
  return bert_head(task, config, tensors, read_megatron(config));
}

template <BertSize (&kRead)(const ConfigReader&)>
std::unique_ptr<Head> counted_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const BertSize sizes = kRead(config);
  return roberta_head(task, config, tensors, {sizes.hidden, sizes.vocabulary, sizes.eps});
}

}  // namespace

extern const Family kMegatronBert = {"megatron-bert", {"bert."}, megatron, megatron_head};
extern const Family kRobertaPreLayerNorm = {
    "roberta-prelayernorm", {"roberta_prelayernorm."}, roberta, counted_head<read_roberta>};
extern const Family kXlmRobertaXl = {"xlm-roberta-xl", {"roberta."}, xl, counted_head<read_xl>};

}  // namespace filbert
