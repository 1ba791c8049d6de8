#include "core/weight_loader.h"

#include <vector>

namespace filbert {
namespace {

filbert_host_tensor host_tensor(const TensorView& view) {
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace

WeightLoader::WeightLoader(const Ops& ops, const Weights& weights, const TensorMatch& match)
    : ops_(ops), weights_(weights) {
  for (const MatchedTensor& tensor : match.tensors) tensors_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight WeightLoader::matrix(std::initializer_list<std::string> names, const std::string& input_norm) const {
  std::vector<filbert_host_tensor> norm;
  if (!input_norm.empty()) norm = host_tensors({input_norm + ".weight", input_norm + ".bias"});
  Weight weight = load(FILBERT_MATRIX, names, norm.empty() ? nullptr : norm.data());
  weights_.drop_pages();  // of what has just been packed: never are all weights in memory twice
  return weight;
}

Weight WeightLoader::load(filbert_weight_kind kind, std::initializer_list<std::string> names,
                          const filbert_host_tensor* input_norm) const {
  const std::vector<filbert_host_tensor> parts = host_tensors(names);
  return Weight(ops_, ops_.load_weight(kind, parts.data(), parts.size(), input_norm));
}

std::vector<filbert_host_tensor> WeightLoader::host_tensors(std::initializer_list<std::string> names) const {
  std::vector<filbert_host_tensor> tensors;
  for (const std::string& name : names) tensors.push_back(host_tensor(*tensors_.at(name)));
  return tensors;
}

}  // namespace filbert
