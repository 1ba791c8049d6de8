#include "engine/tensors.h"

#include <utility>

#include "files/dtype.h"

namespace filbert {
namespace {

// The upper and the lower half of its rows.
std::vector<filbert_host_tensor> halves(const filbert_host_tensor& tensor, std::size_t bytes) {
  const std::size_t rows = tensor.rows / 2;
  const auto* lower = static_cast<const std::byte*>(tensor.data) + bytes / 2;
  return {{tensor.data, tensor.dtype, rows, tensor.cols}, {lower, tensor.dtype, rows, tensor.cols}};
}

}  // namespace

LoadedTensors::LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match)
    : ops_(ops), weights_(weights) {
  for (const MatchedTensor& tensor : match.tensors) found_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight LoadedTensors::take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input, Gate gate) {
  std::vector<filbert_host_tensor> tensors;
  for (const TensorSpec& part : parts) tensors.push_back(host(part.name));
  const bool gated = kind == FILBERT_GATED_MATRIX || kind == FILBERT_GATED_VECTOR;
  if (gated && parts.size() == 1) {
    tensors = halves(tensors[0], found_.at(parts[0].name)->bytes);
    if (gate == Gate::lower) std::swap(tensors[0], tensors[1]);
  }
  std::vector<filbert_host_tensor> norm;
  std::vector<float> scale;
  if (!input.gamma.empty()) {
    norm = {host(input.gamma), input.beta.empty() ? filbert_host_tensor{} : host(input.beta)};
    if (input.offset != 0) {
      scale = to_floats(*found_.at(input.gamma));
      for (float& value : scale) value += input.offset;
      norm[0] = {scale.data(), FILBERT_F32, scale.size(), 1};
    }
  }
  Weight weight(ops_, ops_.load_weight(kind, tensors.data(), tensors.size(), norm.empty() ? nullptr : norm.data()));
  if (kind == FILBERT_MATRIX || kind == FILBERT_GATED_MATRIX)
    weights_.drop_pages();  // of what has just been read: never are all weights in memory twice
  return weight;
}

Weight LoadedTensors::keep(const std::vector<float>& values) {
  const filbert_host_tensor tensor = {values.data(), FILBERT_F32, values.size(), 1};
  return Weight(ops_, ops_.load_weight(FILBERT_VECTOR, &tensor, 1));
}

std::vector<float> LoadedTensors::read(TensorSpec spec) { return to_floats(*found_.at(spec.name)); }

filbert_host_tensor LoadedTensors::host(const std::string& name) const {
  const TensorView& view = *found_.at(name);
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace filbert
