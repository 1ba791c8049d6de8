// The tensors of a model. A family's constructor names each of them once; what that means is up to the implementation:
// to list them, or to load them. So loading, checking, legacy names, random weights and saving follow from one place.
#pragma once

#include <filbert/weights.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/ops.h"
#include "engine/tensor_match.h"

namespace filbert {

// A weight in the backend's memory; null if the tensors are only listed.
class Weight {
 public:
  Weight() : handle_(nullptr, Free{nullptr}) {}
  // source: what the backend reads as long as the weight lives, if that is not the file.
  Weight(const Ops& ops, filbert_weight* handle, std::shared_ptr<const void> source = nullptr)
      : source_(std::move(source)), handle_(handle, Free{&ops}) {}
  operator const filbert_weight*() const { return handle_.get(); }

 private:
  struct Free {
    const Ops* ops;
    void operator()(filbert_weight* weight) const { ops->free_weight(weight); }
  };
  std::shared_ptr<const void> source_;
  std::unique_ptr<filbert_weight, Free> handle_;
};

// Low-rank changes of a file's matrices and tables, one a task (LoRA: Hu et al., arXiv:2106.09685). A weight is what
// the file has and `scale` times the product of the chosen task's two factors.
struct LowRank {
  std::size_t tasks, rank;
  float scale;
  std::optional<std::size_t> chosen;  // or none is added
};

// The tensors of the norm whose output is multiplied, if that is what it is; a norm may have no beta. Its scale is
// gamma and `offset`. first_row: as filbert_input_norm has it.
struct InputNorm {
  std::string gamma = "", beta = "";
  float offset = 0;
  std::size_t first_row = 0;
};

// Activations in the backend's memory that no forward computes; null if the tensors are only listed.
class Activations {
 public:
  Activations() : memory_(nullptr, Free{nullptr}) {}
  Activations(const Ops& ops, void* memory) : memory_(memory, Free{&ops}) {}
  operator void*() const { return memory_.get(); }

 private:
  struct Free {
    const Ops* ops;
    void operator()(void* memory) const { ops->free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
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

  // Which half of a gated tensor's rows is the gate.
  enum class Gate { upper, lower };

  virtual ~Tensors() = default;

  // Of a tensor that the file has, or null: where files of one family differ in names, or tell sizes.
  virtual const std::vector<std::uint64_t>* shape(const std::string& name) const = 0;
  bool has(const std::string& name) const { return shape(name) != nullptr; }

  virtual bool loads() const = 0;  // or lists them

  // A tensor of the base model that is the same as another, of which the file may have only the other.
  virtual void tie(const std::string&, const std::string&) {}

  // Said before any tensor is asked for.
  void change(const LowRank& changes) { changes_ = changes; }

  // Each part [rows, columns].
  Weight matrix(const Parts& parts, std::size_t columns, const InputNorm& input = {}, Owner owner = Owner::base) {
    return take(FILBERT_MATRIX, specs(parts, columns, Init::normal, owner), input, Gate::upper);
  }
  // Each part [rows]; those without a name are zeros, of no file.
  Weight vector(const Parts& parts, Init init, Owner owner = Owner::base) {
    return take(FILBERT_VECTOR, specs(parts, 0, init, owner), {}, Gate::upper);
  }
  // Gate and what it multiplies: two parts in this order, or one with both.
  Weight gated_matrix(const Parts& parts, std::size_t columns, const InputNorm& input = {}, Gate gate = Gate::upper) {
    return take(FILBERT_GATED_MATRIX, specs(parts, columns, Init::normal, Owner::base), input, gate);
  }
  Weight gated_vector(const Parts& parts, Init init, Gate gate = Gate::upper) {
    return take(FILBERT_GATED_VECTOR, specs(parts, 0, init, Owner::base), {}, gate);
  }
  // Rows [begin, end) of a tensor, of several that one.
  struct Range {
    std::size_t begin, end, part = 0;
  };
  // Of one tensor [part.rows, columns], or [part.rows] of 0 columns, some weights: each of the ranges that it joins.
  std::vector<Weight> rows_of(const Part& part, std::size_t columns, const std::vector<std::vector<Range>>& weights,
                              Init init = Init::normal, Owner owner = Owner::base, const InputNorm& input = {}) {
    return take_rows(specs({part}, columns, init, owner), weights, input);
  }
  // Of some tensors, each as above, one weight: the ranges that it joins.
  Weight join(const Parts& parts, std::size_t columns, const std::vector<Range>& rows, Init init = Init::normal,
              const InputNorm& input = {}) {
    return std::move(take_rows(specs(parts, columns, init, Owner::base), {rows}, input)[0]);
  }
  Weight table(const std::string& name, std::size_t rows, std::size_t columns, Init init = Init::normal) {
    return take(FILBERT_TABLE, specs({{name, rows}}, columns, init, Owner::base), {}, Gate::upper);
  }
  // A table with the first row of another one added to each of its rows.
  Weight table_and_row(const Part& table, const Part& other, std::size_t columns) {
    std::vector<float> values = read(specs({table}, columns, Init::normal, Owner::base).front());
    const std::vector<float> row = read(specs({other}, columns, Init::normal, Owner::base).front());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += row[i % columns];
    return values.empty() ? Weight() : keep(std::move(values), FILBERT_TABLE, table.rows, columns);
  }
  // A table whose row i is weights[i] times row mapping[i] of the stored one; without a name there is no such tensor.
  Weight folded_table(const Part& stored, std::size_t columns, std::size_t rows, const std::string& mapping,
                      const std::string& weights) {
    TensorSpec of_rows = specs({{mapping, rows}}, 0, Init::zeros, Owner::base).front();
    of_rows.integers = true;
    return fold(specs({stored}, columns, Init::normal, Owner::base).front(), std::move(of_rows),
                specs({{weights, rows}}, 0, Init::ones, Owner::base).front());
  }
  // Numbers that the configuration tells, of no file; those that are many, computed only to be kept.
  Weight numbers(std::vector<float> values) {
    const std::size_t count = values.size();
    return keep(std::move(values), FILBERT_VECTOR, count, 1);
  }
  Weight numbers(const std::function<std::vector<float>()>& compute) { return loads() ? numbers(compute()) : Weight(); }
  // Numbers that are computed from a tensor [rows, columns], or [rows] of 0 columns, once.
  Weight computed(const Part& part, std::size_t columns,
                  const std::function<std::vector<float>(const std::vector<float>&)>& compute,
                  Init init = Init::normal) {
    const std::vector<float> values = read(specs({part}, columns, init, Owner::base).front());
    return values.empty() ? Weight() : numbers(compute(values));
  }
  // A matrix [rows, columns] that is computed from a tensor of that shape, whose first extent is `rows`.
  Weight computed_matrix(const std::string& name, std::vector<std::uint64_t> shape, std::size_t columns,
                         const std::function<std::vector<float>(const std::vector<float>&)>& compute) {
    const auto rows = static_cast<std::size_t>(shape[0]);
    const std::vector<float> values = read({name, std::move(shape), Init::normal, Owner::base});
    return values.empty() ? Weight() : keep(compute(values), FILBERT_MATRIX, rows, columns);
  }
  // Of one tensor [part.rows, columns] `count` parts of as many rows, each transposed: matrices [columns, rows].
  std::vector<Weight> transposed(const Part& part, std::size_t columns, std::size_t count);
  // Activations [rows, width] that do not depend on what a forward is asked: ops compute them from weights that are
  // there already, once.
  Activations kept(std::size_t rows, std::size_t width, const std::function<void(const Ops&, void*)>& compute) {
    return run(rows, width, compute);
  }

 protected:
  // Where a tensor has changes: the names of what they are added to, and of their factors.
  struct Changed {
    std::string base, a, b;
  };
  std::optional<Changed> changed(filbert_weight_kind kind, const std::string& name) const;

  std::optional<LowRank> changes_;

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
  virtual Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input, Gate gate) = 0;
  virtual std::vector<Weight> take_rows(std::vector<TensorSpec> parts, const std::vector<std::vector<Range>>& weights,
                                        const InputNorm& input) = 0;
  virtual Weight fold(TensorSpec stored, TensorSpec mapping, TensorSpec weights) = 0;
  virtual Weight keep(std::vector<float> values, filbert_weight_kind kind, std::size_t rows, std::size_t columns) = 0;
  virtual std::vector<float> read(TensorSpec spec) = 0;  // or nothing
  virtual Activations run(std::size_t rows, std::size_t width,
                          const std::function<void(const Ops&, void*)>& compute) = 0;
};

// Lists them, as a file with these has them.
class DeclaredTensors : public Tensors {
 public:
  explicit DeclaredTensors(const Shapes& shapes) : shapes_(shapes) {}
  const std::vector<std::uint64_t>* shape(const std::string& name) const override {
    const auto found = shapes_.find(name);
    return found == shapes_.end() ? nullptr : &found->second;
  }

  bool loads() const override { return false; }
  void tie(const std::string& base, const std::string& other) override { ties.emplace_back(base, other); }

  std::vector<TensorSpec> list;
  std::vector<std::pair<std::string, std::string>> ties;

 private:
  Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm&, Gate) override {
    for (TensorSpec& part : parts)
      if (!part.name.empty()) add(kind, std::move(part));
    return {};
  }
  void add(filbert_weight_kind kind, TensorSpec spec);
  std::vector<Weight> take_rows(std::vector<TensorSpec> parts, const std::vector<std::vector<Range>>& weights,
                                const InputNorm&) override {
    for (TensorSpec& part : parts) list.push_back(std::move(part));
    return std::vector<Weight>(weights.size());
  }
  Weight fold(TensorSpec stored, TensorSpec mapping, TensorSpec weights) override {
    for (TensorSpec* spec : {&stored, &mapping, &weights})
      if (!spec->name.empty()) list.push_back(std::move(*spec));
    return {};
  }
  Weight keep(std::vector<float>, filbert_weight_kind, std::size_t, std::size_t) override { return {}; }
  Activations run(std::size_t, std::size_t, const std::function<void(const Ops&, void*)>&) override { return {}; }
  std::vector<float> read(TensorSpec spec) override {
    list.push_back(std::move(spec));
    return {};
  }

  const Shapes& shapes_;
};

// Hands them to a backend, from where a match found them.
class LoadedTensors : public Tensors {
 public:
  LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match);
  const std::vector<std::uint64_t>* shape(const std::string& name) const override {
    const auto found = found_.find(name);
    return found == found_.end() ? nullptr : &found->second->shape;
  }
  bool loads() const override { return true; }

 private:
  Weight take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input, Gate gate) override;
  std::vector<Weight> take_rows(std::vector<TensorSpec> parts, const std::vector<std::vector<Range>>& weights,
                                const InputNorm& input) override;
  std::optional<filbert_input_norm> host_norm(const InputNorm& input, std::vector<float>& scale) const;
  Weight fold(TensorSpec stored, TensorSpec mapping, TensorSpec weights) override;
  Weight keep(std::vector<float> values, filbert_weight_kind kind, std::size_t rows, std::size_t columns) override;
  Activations run(std::size_t rows, std::size_t width, const std::function<void(const Ops&, void*)>& compute) override;
  std::vector<float> read(TensorSpec spec) override;
  filbert_host_tensor host(const std::string& name) const;
  std::vector<float> merged(filbert_weight_kind kind, const Changed& names) const;

  const Ops& ops_;
  const Weights& weights_;
  std::map<std::string, const TensorView*> found_;
};

}  // namespace filbert
