#include "models/heads.h"

#include "models/bert_encoder.h"

namespace filbert {
namespace {

// Layers on the first token of each sequence.
class FirstTokenHead : public Head {
 public:
  FirstTokenHead(Tensors& tensors, std::size_t hidden, std::size_t width, const std::vector<HeadLayer>& layers)
      : width_(width) {
    for (const HeadLayer& layer : layers) {
      const std::size_t out = &layer == &layers.back() ? width : hidden;
      layers_.push_back(
          {make_linear(tensors, {{layer.name, out}}, hidden, {}, true, layer.owner), layer.activation, out});
    }
  }

  Rows reads() const override { return Rows::first; }
  std::size_t width() const override { return width_; }

  void* forward(Run& run, const void* x, std::size_t rows) const override {
    void* out = nullptr;
    for (const Layer& layer : layers_) {
      out = run.arena.activations(rows, layer.out);
      run.ops.token_ops({layer.linear(x, out, FILBERT_OTHERS, layer.activation)}, rows);
      x = out;
    }
    return out;
  }

 private:
  struct Layer {
    Linear linear;
    filbert_activation activation;
    std::size_t out;
  };
  std::size_t width_;
  std::vector<Layer> layers_;
};

}  // namespace

std::size_t count_labels(const ConfigReader& config) {
  const JsonValue* names = config.find("id2label");
  if (names == nullptr) return static_cast<std::size_t>(config.positive_int("num_labels", 2, config_limits::kLabels));
  if (names->object() == nullptr) config.fail("id2label", "an object with a name for each label");
  if (names->object()->members().empty()) config.fail_with("id2label: found no labels, expected a name for each label");
  return names->object()->members().size();
}

const char* missing_head(Task task) {
  return task == Task::model
             ? "\nThe weights have no pooler; add_pooling_layer=False (in C++ Task::encoder) loads without one."
             : "\nThe weights have no head for this task.";
}

std::unique_ptr<Head> pooler(Tensors& tensors, std::size_t hidden, const std::string& name) {
  const std::vector<HeadLayer> layers = {{name, FILBERT_TANH, Tensors::Owner::base}};
  return std::make_unique<FirstTokenHead>(tensors, hidden, hidden, layers);
}

std::unique_ptr<Head> sequence_classifier(const ConfigReader& config, Tensors& tensors, std::size_t hidden,
                                          const HeadLayer& dense, const std::string& out) {
  const std::vector<HeadLayer> layers = {dense, {out, FILBERT_IDENTITY}};
  return std::make_unique<FirstTokenHead>(tensors, hidden, count_labels(config), layers);
}

std::unique_ptr<Head> roberta_head(Task task, const ConfigReader& config, Tensors& tensors) {
  const std::size_t hidden = read_bert_size(config).hidden;
  if (task == Task::model) return pooler(tensors, hidden);
  if (task == Task::sequence_classification)
    return sequence_classifier(config, tensors, hidden, {"classifier.dense", FILBERT_TANH}, "classifier.out_proj");
  return nullptr;
}

std::unique_ptr<Head> no_head(Task, const ConfigReader&, Tensors&) { return nullptr; }

}  // namespace filbert
