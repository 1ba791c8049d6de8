#include "engine/tensors.h"

#include <algorithm>
#include <string_view>
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

std::optional<Tensors::Changed> Tensors::changed(filbert_weight_kind kind, const std::string& name) const {
  constexpr std::string_view kEnd = ".weight";
  const bool may_be = kind == FILBERT_MATRIX || kind == FILBERT_TABLE;
  if (!changes_ || !may_be || !name.ends_with(kEnd)) return std::nullopt;
  const std::string stem = name.substr(0, name.size() - kEnd.size()) + ".parametrizations.weight.";
  if (!has(stem + "original")) return std::nullopt;
  return Changed{stem + "original", stem + "0.lora_A", stem + "0.lora_B"};
}

std::vector<Weight> Tensors::transposed(const Part& part, std::size_t columns, std::size_t count) {
  const std::vector<float> values = read(specs({part}, columns, Init::normal, Owner::base).front());
  std::vector<Weight> result(count);
  if (values.empty()) return result;
  const std::size_t rows = part.rows / count;
  for (std::size_t i = 0; i < count; ++i) {
    const float* const from = values.data() + i * columns * rows;
    std::vector<float> matrix(columns * rows);
    constexpr std::size_t kLine = 16;  // numbers that are written side by side
    for (std::size_t first = 0; first < rows; first += kLine)
      for (std::size_t c = 0; c < columns; ++c)
        for (std::size_t r = first; r < std::min(rows, first + kLine); ++r)
          matrix[c * rows + r] = from[r * columns + c];
    result[i] = keep(std::move(matrix), FILBERT_MATRIX, columns, rows);
  }
  return result;
}

// Factors of a matrix [out, in] are A [rank, in] and B [out, rank], those of a table [rows, width] the other way round.
void DeclaredTensors::add(filbert_weight_kind kind, TensorSpec spec) {
  const auto names = changed(kind, spec.name);
  if (!names) {
    list.push_back(std::move(spec));
    return;
  }
  const std::uint64_t rows = spec.shape[0], columns = spec.shape[1], tasks = changes_->tasks, rank = changes_->rank;
  const std::vector<std::uint64_t> by_rows = {tasks, rows, rank}, by_columns = {tasks, rank, columns};
  const bool is_table = kind == FILBERT_TABLE;
  list.push_back({names->base, spec.shape, spec.init, spec.owner});
  list.push_back({names->a, is_table ? by_rows : by_columns, spec.init, spec.owner});
  list.push_back({names->b, is_table ? by_columns : by_rows, spec.init, spec.owner});
}

LoadedTensors::LoadedTensors(const Ops& ops, const Weights& weights, const TensorMatch& match)
    : ops_(ops), weights_(weights) {
  for (const MatchedTensor& tensor : match.tensors) found_[tensor.spec.name] = weights.find(tensor.source_name);
}

Weight LoadedTensors::take(filbert_weight_kind kind, std::vector<TensorSpec> parts, const InputNorm& input, Gate gate) {
  std::vector<filbert_host_tensor> tensors;
  const auto merged_parts = std::make_shared<std::vector<std::vector<float>>>();
  merged_parts->reserve(parts.size());
  for (const TensorSpec& part : parts) {
    if (part.name.empty()) {
      merged_parts->emplace_back(part.shape[0]);
      tensors.push_back({merged_parts->back().data(), FILBERT_F32, merged_parts->back().size(), 1});
      continue;
    }
    const auto names = changed(kind, part.name);
    tensors.push_back(host(names ? names->base : part.name));
    if (!names || !changes_->chosen) continue;
    merged_parts->push_back(merged(kind, *names));
    tensors.back().data = merged_parts->back().data();
    tensors.back().dtype = FILBERT_F32;
  }
  const bool gated = kind == FILBERT_GATED_MATRIX || kind == FILBERT_GATED_VECTOR;
  if (gated && parts.size() == 1) {
    tensors = halves(tensors[0], found_.at(parts[0].name)->bytes);
    if (gate == Gate::lower) std::swap(tensors[0], tensors[1]);
  }
  std::vector<float> scale;
  const std::optional<filbert_input_norm> norm = host_norm(input, scale);
  Weight weight(ops_, ops_.load_weight(kind, tensors.data(), tensors.size(), norm ? &*norm : nullptr),
                kind == FILBERT_TABLE ? merged_parts : nullptr);
  if (kind == FILBERT_MATRIX || kind == FILBERT_GATED_MATRIX)
    weights_.drop_pages();  // of what has just been read: never are all weights in memory twice
  return weight;
}

// scale: memory for a gamma that is computed.
std::optional<filbert_input_norm> LoadedTensors::host_norm(const InputNorm& input, std::vector<float>& scale) const {
  if (input.gamma.empty()) return {};
  filbert_input_norm norm = {host(input.gamma), input.beta.empty() ? filbert_host_tensor{} : host(input.beta),
                             input.first_row};
  if (input.offset != 0) {
    scale = to_floats(*found_.at(input.gamma));
    for (float& value : scale) value += input.offset;
    norm.gamma = {scale.data(), FILBERT_F32, scale.size(), 1};
  }
  return norm;
}

std::vector<Weight> LoadedTensors::take_rows(std::vector<TensorSpec> parts,
                                             const std::vector<std::vector<Range>>& weights, const InputNorm& input) {
  const filbert_weight_kind kind = parts[0].shape.size() > 1 ? FILBERT_MATRIX : FILBERT_VECTOR;
  std::vector<float> scale;
  const std::optional<filbert_input_norm> norm = host_norm(input, scale);
  std::vector<Weight> result;
  for (const std::vector<Range>& ranges : weights) {
    std::vector<filbert_host_tensor> rows;
    for (const Range& range : ranges) {
      const std::string& name = parts[range.part].name;
      const filbert_host_tensor whole = host(name);
      const std::size_t row_bytes = found_.at(name)->bytes / whole.rows;
      rows.push_back({static_cast<const std::byte*>(whole.data) + range.begin * row_bytes, whole.dtype,
                      range.end - range.begin, whole.cols});
    }
    result.emplace_back(ops_, ops_.load_weight(kind, rows.data(), rows.size(), norm ? &*norm : nullptr));
    weights_.drop_pages();
  }
  return result;
}

Weight LoadedTensors::fold(TensorSpec stored, TensorSpec mapping, TensorSpec weights) {
  if (mapping.name.empty() && weights.name.empty()) return take(FILBERT_TABLE, {std::move(stored)}, {}, Gate::upper);
  const std::vector<float> table = to_floats(*found_.at(stored.name));
  std::vector<std::int64_t> row_of;
  if (!mapping.name.empty()) row_of = to_integers(*found_.at(mapping.name));
  std::vector<float> factor;
  if (!weights.name.empty()) factor = to_floats(*found_.at(weights.name));
  const std::size_t rows = mapping.shape[0], columns = stored.shape[1];
  std::vector<float> folded(rows * columns);
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t row = row_of.empty() ? static_cast<std::int64_t>(i) : row_of[i];
    if (row < 0 || static_cast<std::uint64_t>(row) >= stored.shape[0])
      throw WeightsError(weights_.source() + ": " + mapping.name + "[" + std::to_string(i) + "]: found " +
                         std::to_string(row) + ", expected a row of " + stored.name + " (" +
                         std::to_string(stored.shape[0]) + ")");
    const float* const from = table.data() + static_cast<std::size_t>(row) * columns;
    for (std::size_t j = 0; j < columns; ++j) folded[i * columns + j] = factor.empty() ? from[j] : from[j] * factor[i];
  }
  return keep(std::move(folded), FILBERT_TABLE, rows, columns);
}

Weight LoadedTensors::keep(std::vector<float> values, filbert_weight_kind kind, std::size_t rows, std::size_t columns) {
  const auto source = std::make_shared<const std::vector<float>>(std::move(values));
  const filbert_host_tensor tensor = {source->data(), FILBERT_F32, rows, columns};
  return Weight(ops_, ops_.load_weight(kind, &tensor, 1), kind == FILBERT_TABLE ? source : nullptr);
}

Activations LoadedTensors::run(std::size_t rows, std::size_t width,
                               const std::function<void(const Ops&, void*)>& compute) {
  Activations memory(ops_, ops_.alloc(rows * width * ops_.device().activation_bytes));
  compute(ops_, memory);
  ops_.sync();
  return memory;
}

std::vector<float> LoadedTensors::read(TensorSpec spec) { return to_floats(*found_.at(spec.name)); }

std::vector<float> LoadedTensors::merged(filbert_weight_kind kind, const Changed& names) const {
  std::vector<float> result = to_floats(*found_.at(names.base));
  const std::size_t rows = found_.at(names.base)->shape[0], columns = found_.at(names.base)->shape[1];
  const std::size_t rank = changes_->rank;
  const bool is_table = kind == FILBERT_TABLE;
  const std::vector<float> by_rows = to_floats(*found_.at(is_table ? names.a : names.b));
  const std::vector<float> by_columns = to_floats(*found_.at(is_table ? names.b : names.a));
  const float* const left = by_rows.data() + *changes_->chosen * rows * rank;
  const float* const right = by_columns.data() + *changes_->chosen * rank * columns;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t r = 0; r < rank; ++r) {
      const float factor = changes_->scale * left[i * rank + r];
      for (std::size_t j = 0; j < columns; ++j) result[i * columns + j] += factor * right[r * columns + j];
    }
  return result;
}

filbert_host_tensor LoadedTensors::host(const std::string& name) const {
  const TensorView& view = *found_.at(name);
  return {view.data, backend_dtype(view.dtype), view.shape.empty() ? 1 : view.shape[0],
          view.shape.size() > 1 ? view.shape[1] : 1};
}

}  // namespace filbert
