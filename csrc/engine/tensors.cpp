#include "engine/tensors.h"

namespace filbert {

LoadedTensors::LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match)
    : ops_(ops), weights_(weights) {
  for (const MatchedTensor& tensor : match.tensors) found_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight LoadedTensors::take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const std::string& input_norm) {
  std::vector<filbert_host_tensor> tensors;
  for (const TensorSpec& part : parts) tensors.push_back(host(part.name));
  std::vector<filbert_host_tensor> norm;
  if (!input_norm.empty()) norm = {host(input_norm + ".weight"), host(input_norm + ".bias")};
  Weight weight(ops_, ops_.load_weight(kind, tensors.data(), tensors.size(), norm.empty() ? nullptr : norm.data()));
  if (kind == FILBERT_MATRIX)
    weights_.drop_pages();  // of what has just been packed: never are all weights in memory twice
  return weight;
}

filbert_host_tensor LoadedTensors::host(const std::string& name) const {
  const TensorView& view = *found_.at(name);
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace filbert
