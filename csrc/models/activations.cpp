#include "models/activations.h"

#include <string>

namespace filbert {
namespace {

struct Name {
  std::string_view name;
  filbert_activation activation;
};

constexpr Name kNames[] = {
    {"gelu", FILBERT_GELU_ERF},
    {"gelu_python", FILBERT_GELU_ERF},
    {"gelu_10", FILBERT_GELU_ERF_CLIP},
    {"gelu_new", FILBERT_GELU_TANH},
    {"gelu_fast", FILBERT_GELU_TANH},
    {"gelu_accurate", FILBERT_GELU_TANH},
    {"gelu_pytorch_tanh", FILBERT_GELU_TANH},
    {"gelu_python_tanh", FILBERT_GELU_TANH},
    {"quick_gelu", FILBERT_QUICK_GELU},
    {"relu", FILBERT_RELU},
    {"relu2", FILBERT_RELU2},
    {"relu6", FILBERT_RELU6},
    {"leaky_relu", FILBERT_LEAKY_RELU},
    {"silu", FILBERT_SILU},
    {"swish", FILBERT_SILU},
    {"mish", FILBERT_MISH},
    {"tanh", FILBERT_TANH},
    {"sigmoid", FILBERT_SIGMOID},
    {"linear", FILBERT_IDENTITY},
};

}  // namespace

filbert_activation find_activation(const ConfigReader& config, std::string_view field, std::string_view name) {
  std::string known;
  for (const Name& each : kNames) {
    if (each.name == name) return each.activation;
    known += (known.empty() ? "" : ", ") + std::string(each.name);
  }
  config.fail(field, "one of " + known);
}

filbert_activation read_activation(const ConfigReader& config, std::string_view field, std::string_view fallback) {
  return find_activation(config, field, config.string(field, fallback));
}

}  // namespace filbert
