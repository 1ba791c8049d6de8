#include "core/weight_loader.h"

#include <vector>

namespace filbert {
namespace {

filbert_dtype backend_dtype(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return FILBERT_F16;
    case DType::bf16:
      return FILBERT_BF16;
    case DType::f64:
      return FILBERT_F64;
    case DType::f32:
    case DType::other:
      break;  // matching admits no other
  }
  return FILBERT_F32;
}

filbert_host_tensor host_tensor(const TensorView& view) {
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace

WeightLoader::WeightLoader(const Ops& ops, const Weights& weights, const TensorMatch& match) : ops_(ops) {
  for (const MatchedTensor& tensor : match.tensors) tensors_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight WeightLoader::load(filbert_weight_kind kind, std::initializer_list<std::string> names) const {
  std::vector<filbert_host_tensor> parts;
  for (const std::string& name : names) parts.push_back(host_tensor(*tensors_.at(name)));
  return Weight(ops_, ops_.load_weight(kind, parts.data(), parts.size()));
}

}  // namespace filbert
