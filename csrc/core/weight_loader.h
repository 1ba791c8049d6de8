// Hands a checkpoint's tensors to a backend under the names that transformers gives them today.
#pragma once

#include <filbert/weights.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/ops.h"

namespace filbert {

// A weight in the backend's memory.
class Weight {
 public:
  Weight() : handle_(nullptr, Free{nullptr}) {}
  Weight(const Ops& ops, filbert_weight* handle) : handle_(handle, Free{&ops}) {}
  operator const filbert_weight*() const { return handle_.get(); }

 private:
  struct Free {
    const Ops* ops;
    void operator()(filbert_weight* weight) const { ops->free_weight(weight); }
  };
  std::unique_ptr<filbert_weight, Free> handle_;
};

class WeightLoader {
 public:
  WeightLoader(const Ops& ops, const Weights& weights, const TensorMatch& match);

  // Several names are joined along their rows, as query, key and value are. input_norm: the layer norm whose output is
  // multiplied, if that is what it is.
  Weight matrix(std::initializer_list<std::string> names, const std::string& input_norm = {}) const;
  Weight vector(std::initializer_list<std::string> names) const { return load(FILBERT_VECTOR, names); }
  Weight table(const std::string& name) const { return load(FILBERT_TABLE, {name}); }

 private:
  Weight load(filbert_weight_kind kind, std::initializer_list<std::string> names,
              const filbert_host_tensor* input_norm = nullptr) const;
  std::vector<filbert_host_tensor> host_tensors(std::initializer_list<std::string> names) const;

  const Ops& ops_;
  const Weights& weights_;
  std::map<std::string, const TensorView*> tensors_;
};

}  // namespace filbert
