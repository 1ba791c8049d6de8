#include "core/weight_loader.h"

#include <vector>

namespace filbert {
namespace {

filbert_host_tensor host_tensor(const TensorView& view) {
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace

WeightLoader::WeightLoader(const Ops& ops, const Weights& weights, const TensorMatch& match) : ops_(ops) {
  for (const MatchedTensor& tensor : match.tensors) tensors_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight WeightLoader::matrix(std::initializer_list<std::string> names, const std::string& input_norm) const {
  std::vector<filbert_host_tensor> parts;
  for (const std::string& name : names) parts.push_back(host_tensor(*tensors_.at(name)));
  if (input_norm.empty()) return Weight(ops_, ops_.load_weight(FILBERT_MATRIX, parts.data(), parts.size()));
  const filbert_host_tensor norm[] = {host_tensor(*tensors_.at(input_norm + ".weight")),
                                      host_tensor(*tensors_.at(input_norm + ".bias"))};
  return Weight(ops_, ops_.load_weight(FILBERT_MATRIX, parts.data(), parts.size(), norm));
}

Weight WeightLoader::load(filbert_weight_kind kind, std::initializer_list<std::string> names) const {
  std::vector<filbert_host_tensor> parts;
  for (const std::string& name : names) parts.push_back(host_tensor(*tensors_.at(name)));
  return Weight(ops_, ops_.load_weight(kind, parts.data(), parts.size()));
}

}  // namespace filbert
