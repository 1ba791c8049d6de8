#include "models/heads.h"

#include <algorithm>
#include <utility>

namespace filbert {
namespace {

// A vocabulary is computed by so many columns at a time.
constexpr std::size_t kColumnsOfPart = 1024;

// One layer on rows, or on what `inner` makes of them.
class LinearHead : public Head {
 public:
  // last: the layer, cut into parts; columns: where they begin, and its width.
  LinearHead(Over over, HeadInner inner, std::vector<Linear> last, std::vector<std::size_t> columns,
             filbert_activation activation = FILBERT_IDENTITY, std::optional<std::int64_t> unread = std::nullopt)
      : over_(over),
        inner_(std::move(inner)),
        last_(std::move(last)),
        columns_(std::move(columns)),
        activation_(activation),
        unread_(unread) {}

  Rows reads() const override {
    if (over_ == Over::first) return Rows::first;
    return over_ == Over::last && !unread_ ? Rows::last : Rows::all;
  }
  bool is_per_token() const override { return over_ == Over::each; }
  std::optional<std::int64_t> unread() const override { return unread_; }
  const std::vector<std::size_t>& columns() const override { return columns_; }

  const void* inner(Run& run, const void* x, std::size_t rows) const override {
    if (over_ == Over::mean) x = mean(run, x);
    if (over_ == Over::last && unread_) x = last_words(run, x);
    const bool is_of_tokens = over_ == Over::each || over_ == Over::mean_of_inner;
    x = transform(run, x, is_of_tokens ? rows : run.batch.sequences);
    return over_ == Over::mean_of_inner ? mean(run, x) : x;
  }

  void last(const Run& run, const void* inner, std::size_t rows, std::size_t part, void* out) const override {
    run.ops.token_ops({last_[part](inner, out, FILBERT_OTHERS, activation_)}, rows);
  }

 private:
  const void* transform(Run& run, const void* x, std::size_t rows) const {
    if (!inner_.dense.weight) return x;
    void* out = run.arena.activations(rows, inner_.width);
    const bool has_second = inner_.second.weight;
    if (!has_second && !inner_.norm.gamma) {
      run.ops.token_ops({inner_.dense(x, out, FILBERT_OTHERS, inner_.activation)}, rows);
      return out;
    }
    void* dense = run.arena.activations(rows, has_second ? inner_.between : inner_.width);
    run.ops.token_ops(
        {inner_.dense(x, dense, FILBERT_NEXT_ALONE, inner_.activation),
         has_second ? inner_.second(dense, out, FILBERT_OTHERS, inner_.activation) : inner_.norm(dense, out)},
        rows);
    return out;
  }

  void* mean(Run& run, const void* x) const {
    void* out = run.arena.activations(run.batch.sequences, inner_.width);
    run.ops.pool({&run.batch, x, inner_.width, FILBERT_POOL_MEAN, 0, out});
    return out;
  }

  void* last_words(Run& run, const void* x) const {
    void* out = run.arena.activations(run.batch.sequences, inner_.width);
    run.ops.gather({x, run.batch.last_word, run.batch.sequences, inner_.width, out});
    return out;
  }

  Over over_;
  HeadInner inner_;
  std::vector<Linear> last_;
  std::vector<std::size_t> columns_;
  filbert_activation activation_;
  std::optional<std::int64_t> unread_;
};

std::vector<Linear> one(Linear layer) {
  std::vector<Linear> list;
  list.push_back(std::move(layer));
  return list;
}

// The weight and the bias over the vocabulary.
struct VocabularyTensors {
  std::string weight, bias;  // or ""
  Tensors::Owner owner;      // of the weight
};

VocabularyTensors find_vocabulary(const ConfigReader& config, Tensors& tensors, const VocabularyNames& names,
                                  std::size_t vocabulary) {
  const std::string own = names.decoder + ".weight", beside = names.decoder + ".bias";
  // transformers, too, takes the file's own where it has one, whatever the setting says.
  const bool may_tie =
      names.decoder.empty() || (!names.table.empty() && config.boolean("tie_word_embeddings", names.is_tied));
  const bool is_tied = may_tie && !tensors.has(own);
  if (may_tie && tensors.has(own) && !tensors.has(names.table)) tensors.tie(names.table, own);
  VocabularyTensors found = {is_tied ? names.table : own, "", is_tied ? Tensors::Owner::base : Tensors::Owner::head};
  if (!names.has_bias) return found;
  const bool is_beside = names.bias.empty() || tensors.has(beside);
  found.bias = is_beside ? beside : names.bias;
  // The same bias under another name.
  if (is_beside && !names.bias.empty() && tensors.has(names.bias))
    tensors.vector({{names.bias, vocabulary}}, Tensors::Init::zeros, Tensors::Owner::head);
  return found;
}

}  // namespace

HeadInner inner_layer(Tensors& tensors, const std::string& name, std::size_t in, std::size_t out,
                      filbert_activation activation, Tensors::Owner owner, bool has_bias) {
  return {out, make_linear(tensors, {{name, out}}, in, {}, has_bias, owner), activation, {}};
}

HeadInner inner_layer(Tensors& tensors, const std::string& name, std::size_t in, std::size_t out,
                      filbert_activation activation, const std::string& norm, float eps) {
  HeadInner made = inner_layer(tensors, name, in, out, activation);
  made.norm = make_layer_norm(tensors, norm, out, eps, true, Tensors::Owner::head);
  return made;
}

std::size_t count_labels(const ConfigReader& config) {
  const JsonValue* names = config.find("id2label");
  if (names == nullptr || config.has("num_labels"))
    return static_cast<std::size_t>(config.positive_int("num_labels", 2, config_limits::kLabels));
  if (names->object() == nullptr) config.fail("id2label", "an object with a name for each label");
  if (names->object()->members().empty()) config.fail_with("id2label: found no labels, expected a name for each label");
  return names->object()->members().size();
}

std::optional<std::int64_t> read_padding_id(const ConfigReader& config) {
  return config.optional_int("pad_token_id", -config_limits::kVocabulary, config_limits::kVocabulary);
}

const char* missing_head(Task task) {
  return task == Task::model
             ? "\nThe weights have no pooler; add_pooling_layer=False (in C++ Task::encoder) loads without one."
             : "\nThe weights have no head for this task.";
}

std::unique_ptr<Head> pooler(Tensors& tensors, std::size_t hidden, const std::string& name) {
  Linear layer = make_linear(tensors, {{name, hidden}}, hidden);
  return std::make_unique<LinearHead>(Over::first, HeadInner{hidden}, one(std::move(layer)),
                                      std::vector<std::size_t>{0, hidden}, FILBERT_TANH);
}

std::unique_ptr<Head> labels(const ConfigReader& config, Tensors& tensors, Over over, HeadInner inner,
                             const std::string& name, bool has_bias, std::optional<std::int64_t> unread) {
  const std::size_t count = count_labels(config);
  Linear layer = make_linear(tensors, {{name, count}}, inner.width, inner.norm.names, has_bias, Tensors::Owner::head);
  return std::make_unique<LinearHead>(over, std::move(inner), one(std::move(layer)), std::vector<std::size_t>{0, count},
                                      FILBERT_IDENTITY, unread);
}

std::unique_ptr<Head> spans(const ConfigReader& config, Tensors& tensors, HeadInner inner, const std::string& name) {
  const std::size_t count = count_labels(config);
  if (count != 2)
    config.fail_with("num_labels: found " + std::to_string(count) + ", expected 2: where answers begin and end");
  return labels(config, tensors, Over::each, std::move(inner), name);
}

std::unique_ptr<Head> words(const ConfigReader& config, Tensors& tensors, HeadInner inner, const VocabularyNames& names,
                            std::size_t vocabulary) {
  const VocabularyTensors found = find_vocabulary(config, tensors, names, vocabulary);
  std::vector<std::vector<Tensors::Range>> parts;
  std::vector<std::size_t> columns = {0};
  while (columns.back() < vocabulary) {
    const std::size_t end = std::min(columns.back() + kColumnsOfPart, vocabulary);
    parts.push_back({{columns.back(), end}});
    columns.push_back(end);
  }
  using Init = Tensors::Init;
  std::vector<Weight> weights =
      tensors.rows_of({found.weight, vocabulary}, inner.width, parts, Init::normal, found.owner, inner.norm.names);
  std::vector<Weight> biases(parts.size());
  if (!found.bias.empty())
    biases = tensors.rows_of({found.bias, vocabulary}, 0, parts, Init::zeros, Tensors::Owner::head);
  std::vector<Linear> last;
  for (std::size_t i = 0; i < parts.size(); ++i) last.push_back({std::move(weights[i]), std::move(biases[i])});
  return std::make_unique<LinearHead>(Over::each, std::move(inner), std::move(last), std::move(columns));
}

std::unique_ptr<Head> next_tokens(const ConfigReader& config, Tensors& tensors, std::size_t hidden,
                                  const VocabularyNames& names, std::size_t vocabulary) {
  const VocabularyTensors found = find_vocabulary(config, tensors, names, vocabulary);
  std::vector<Tensors::Range> rows;
  for (const std::int64_t id : config.indices("next_token_ids", static_cast<std::int64_t>(vocabulary) - 1))
    rows.push_back({size(id), size(id) + 1});
  if (rows.empty()) config.fail_with("next_token_ids: found none, expected those whose logits are wanted");
  std::vector<Weight> weight =
      tensors.rows_of({found.weight, vocabulary}, hidden, {rows}, Tensors::Init::normal, found.owner);
  return std::make_unique<LinearHead>(Over::last, HeadInner{hidden}, one({std::move(weight[0]), {}}),
                                      std::vector<std::size_t>{0, rows.size()});
}

std::unique_ptr<Head> token_head(Task task, const ConfigReader& config, Tensors& tensors, std::size_t hidden) {
  if (task == Task::token_classification) return labels(config, tensors, Over::each, {hidden}, "classifier");
  if (task == Task::question_answering) return spans(config, tensors, {hidden});
  return nullptr;
}

std::unique_ptr<Head> roberta_head(Task task, const ConfigReader& config, Tensors& tensors, const RobertaHeads& sizes) {
  const std::size_t hidden = sizes.hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return labels(config, tensors, Over::first, inner_layer(tensors, "classifier.dense", hidden, hidden, FILBERT_TANH),
                  "classifier.out_proj");
  if (task == Task::masked_lm)
    return words(
        config, tensors,
        inner_layer(tensors, "lm_head.dense", hidden, hidden, FILBERT_GELU_ERF, "lm_head.layer_norm", sizes.eps),
        {"embeddings.word_embeddings.weight", "lm_head.decoder", "lm_head.bias"}, sizes.vocabulary);
  return token_head(task, config, tensors, hidden);
}

std::unique_ptr<Head> no_head(Task, const ConfigReader&, Tensors&) { return nullptr; }

}  // namespace filbert
