// The tensors of a model. A family's constructor names each of them once; what that means is up to the implementation:
// to list them, or to load them. So loading, checking, legacy names, random weights and saving follow from one place.
#pragma once

#include <filbert/weights.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops.h"

namespace filbert {

// A weight in the backend's memory; null if the tensors are only listed.
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

// Names are those of transformers today, without the base prefix. Of one call all are joined along their rows, as
// query, key and value are.
class Tensors {
 public:
  using Init = TensorSpec::Init;
  using Owner = TensorSpec::Owner;
  using Names = std::vector<std::string>;

  virtual ~Tensors() = default;

  // Each [rows, columns]. input_norm: the layer norm whose output is multiplied, if that is what it is.
  Weight matrix(const Names& names, std::size_t rows, std::size_t columns, const std::string& input_norm = {},
                Owner owner = Owner::base) {
    return take(FILBERT_MATRIX, specs(names, {rows, columns}, Init::normal, owner), input_norm);
  }
  // Each [size].
  Weight vector(const Names& names, std::size_t size, Init init, Owner owner = Owner::base) {
    return take(FILBERT_VECTOR, specs(names, {size}, init, owner), {});
  }
  Weight table(const std::string& name, std::size_t rows, std::size_t columns, Init init = Init::normal) {
    return take(FILBERT_TABLE, specs({name}, {rows, columns}, init, Owner::base), {});
  }

 private:
  static std::vector<TensorSpec> specs(const Names& names, const std::vector<std::uint64_t>& shape, Init init,
                                       Owner owner) {
    std::vector<TensorSpec> result;
    for (const std::string& name : names) result.push_back({name, shape, init, owner});
    return result;
  }
  virtual Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const std::string& input_norm) = 0;
};

// Lists them.
class DeclaredTensors : public Tensors {
 public:
  std::vector<TensorSpec> list;

 private:
  Weight take(filbert_weight_kind, std::vector<TensorSpec> parts, const std::string&) override {
    for (TensorSpec& part : parts) list.push_back(std::move(part));
    return {};
  }
};

// Hands them to a backend, from where a match found them.
class LoadedTensors : public Tensors {
 public:
  LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match);

 private:
  Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const std::string& input_norm) override;
  filbert_host_tensor host(const std::string& name) const;

  const Ops& ops_;
  const Weights& weights_;
  std::map<std::string, const TensorView*> found_;
};

}  // namespace filbert
