// The tensors of a model. A family's constructor names each of them once; what that means is up to the implementation:
// to list them, or to load them. So loading, checking, legacy names, random weights and saving follow from one place.
#pragma once

#include <filbert/weights.h>

#include <functional>
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

// Names are those of transformers today, without the base prefix.
class Tensors {
 public:
  using Init = TensorSpec::Init;
  using Owner = TensorSpec::Owner;

  // Some rows of what is joined along them, as query, key and value are.
  struct Part {
    std::string name;
    std::size_t rows;
  };
  using Parts = std::vector<Part>;

  // The tensors of the norm whose output is multiplied, if that is what it is; a norm may have no beta.
  struct InputNorm {
    std::string gamma, beta;
  };

  virtual ~Tensors() = default;

  // Each part [rows, columns].
  Weight matrix(const Parts& parts, std::size_t columns, const InputNorm& input = {}, Owner owner = Owner::base) {
    return take(FILBERT_MATRIX, specs(parts, columns, Init::normal, owner), input);
  }
  // Each part [rows].
  Weight vector(const Parts& parts, Init init, Owner owner = Owner::base) {
    return take(FILBERT_VECTOR, specs(parts, 0, init, owner), {});
  }
  // Gate and what it multiplies: two parts, or one whose upper half of rows is the gate.
  Weight gated_matrix(const Parts& parts, std::size_t columns, const InputNorm& input = {}) {
    return take(FILBERT_GATED_MATRIX, specs(parts, columns, Init::normal, Owner::base), input);
  }
  Weight gated_vector(const Parts& parts, Init init) {
    return take(FILBERT_GATED_VECTOR, specs(parts, 0, init, Owner::base), {});
  }
  Weight table(const std::string& name, std::size_t rows, std::size_t columns, Init init = Init::normal) {
    return take(FILBERT_TABLE, specs({{name, rows}}, columns, init, Owner::base), {});
  }
  // Numbers that the configuration tells, of no file.
  Weight numbers(const std::vector<float>& values) { return keep(values); }
  // Numbers that are computed from a tensor [rows, columns], once.
  Weight computed(const Part& part, std::size_t columns,
                  const std::function<std::vector<float>(const std::vector<float>&)>& compute) {
    const std::vector<float> values = read(specs({part}, columns, Init::normal, Owner::base).front());
    return values.empty() ? Weight() : keep(compute(values));
  }

 private:
  // columns: 0 for vectors
  static std::vector<TensorSpec> specs(const Parts& parts, std::size_t columns, Init init, Owner owner) {
    std::vector<TensorSpec> result;
    for (const Part& part : parts) {
      std::vector<std::uint64_t> shape = {part.rows};
      if (columns > 0) shape.push_back(columns);
      result.push_back({part.name, std::move(shape), init, owner});
    }
    return result;
  }
  virtual Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input) = 0;
  virtual Weight keep(const std::vector<float>& values) = 0;
  virtual std::vector<float> read(TensorSpec spec) = 0;  // or nothing
};

// Lists them.
class DeclaredTensors : public Tensors {
 public:
  std::vector<TensorSpec> list;

 private:
  Weight take(filbert_weight_kind, std::vector<TensorSpec> parts, const InputNorm&) override {
    for (TensorSpec& part : parts) list.push_back(std::move(part));
    return {};
  }
  Weight keep(const std::vector<float>&) override { return {}; }
  std::vector<float> read(TensorSpec spec) override {
    list.push_back(std::move(spec));
    return {};
  }
};

// Hands them to a backend, from where a match found them.
class LoadedTensors : public Tensors {
 public:
  LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match);

 private:
  Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input) override;
  Weight keep(const std::vector<float>& values) override;
  std::vector<float> read(TensorSpec spec) override;
  filbert_host_tensor host(const std::string& name) const;

  const Ops& ops_;
  const Weights& weights_;
  std::map<std::string, const TensorView*> found_;
};

}  // namespace filbert
