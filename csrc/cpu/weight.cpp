#include "cpu/weight.h"

#include <algorithm>
#include <cstdint>

#include "cpu/convert.h"

namespace filbert::cpu {
namespace {

void allocate(filbert_weight& weight, std::size_t floats) {
  weight.owned.reset(
      static_cast<float*>(::operator new[](std::max<std::size_t>(floats, 1) * sizeof(float), std::align_val_t{64})));
  weight.data = weight.owned.get();
}

const char* row_data(const filbert_host_tensor& tensor, std::size_t row) {
  return static_cast<const char*>(tensor.data) + row * tensor.cols * dtype_size(tensor.dtype);
}

// Row `row` of the parts joined along their rows.
void copy_row(const filbert_host_tensor* parts, std::size_t row, float* out) {
  for (; row >= parts->rows; ++parts) row -= parts->rows;
  to_float(parts->dtype, row_data(*parts, row), parts->cols, out);
}

void pack_matrix(filbert_weight& weight, const filbert_host_tensor* parts, const Kernels& kernels, ThreadPool& pool) {
  const std::size_t panel_width = kernels.panel_width;
  const std::size_t panels = (weight.rows + panel_width - 1) / panel_width;
  allocate(weight, round_up(weight.rows, kernels.vector_width) * weight.cols);
  pool.run(panels, weight.cols, [&](std::size_t panel, float* row) {
    const std::size_t first = panel * panel_width;
    const std::size_t columns = std::min(panel_width, weight.rows - first);
    const std::size_t width = round_up(columns, kernels.vector_width);
    float* out = weight.owned.get() + first * weight.cols;
    for (std::size_t j = 0; j < width; ++j) {
      if (j < columns) copy_row(parts, first + j, row);
      for (std::size_t i = 0; i < weight.cols; ++i) out[i * width + j] = j < columns ? row[i] : 0.0f;
    }
  });
}

}  // namespace

std::unique_ptr<filbert_weight> make_weight(filbert_weight_kind kind, const filbert_host_tensor* parts,
                                            std::size_t count, const Kernels& kernels, ThreadPool& pool) {
  auto weight = std::make_unique<filbert_weight>();
  weight->cols = parts[0].cols;
  for (std::size_t i = 0; i < count; ++i) weight->rows += parts[i].rows;
  const bool aligned = reinterpret_cast<std::uintptr_t>(parts[0].data) % alignof(float) == 0;
  if (kind == FILBERT_MATRIX) {
    pack_matrix(*weight, parts, kernels, pool);
  } else if (kind == FILBERT_TABLE && count == 1 && parts[0].dtype == FILBERT_F32 && aligned) {
    weight->data = static_cast<const float*>(parts[0].data);
  } else {
    allocate(*weight, weight->rows * weight->cols);
    for (std::size_t row = 0; row < weight->rows; ++row) copy_row(parts, row, weight->owned.get() + row * weight->cols);
  }
  return weight;
}

}  // namespace filbert::cpu
