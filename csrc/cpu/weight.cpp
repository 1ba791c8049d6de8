#include "cpu/weight.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

#include "cpu/convert.h"
#include "cpu/rotation.h"

namespace filbert::cpu {
namespace {

void allocate(filbert_weight& weight, std::size_t bytes) {
  weight.owned.reset(static_cast<std::byte*>(::operator new[](std::max<std::size_t>(bytes, 1), std::align_val_t{64})));
  weight.data = weight.owned.get();
}

const char* row_data(const filbert_host_tensor& tensor, std::size_t row) {
  return static_cast<const char*>(tensor.data) + row * tensor.cols * dtype_size(tensor.dtype);
}

// The rows of the parts, joined or, of a gated weight, `step` of the gate and of the other in turn.
class Rows {
 public:
  Rows(const filbert_host_tensor* parts, std::size_t count, bool gated, std::size_t step)
      : parts_(parts), gated_(gated), step_(step) {
    for (std::size_t i = 0; i < count; ++i) stored_ += parts[i].rows;
  }

  std::size_t stored() const { return stored_; }
  // How many places there are for rows.
  std::size_t places() const { return gated_ ? 2 * round_up(parts_[0].rows, step_) : stored_; }

  void copy_stored(std::size_t row, float* out) const {
    const filbert_host_tensor* part = parts_;
    for (; row >= part->rows; ++part) row -= part->rows;
    to_float(part->dtype, row_data(*part, row), part->cols, out);
  }

  // The row of a place, or zeros where none is.
  void copy(std::size_t place, float* out) const {
    if (!gated_) return copy_stored(place, out);
    const filbert_host_tensor& part = parts_[place / step_ % 2];
    const std::size_t row = place / (2 * step_) * step_ + place % step_;
    if (row < part.rows)
      to_float(part.dtype, row_data(part, row), part.cols, out);
    else
      std::fill_n(out, part.cols, 0.0f);
  }

 private:
  const filbert_host_tensor* parts_;
  bool gated_;
  std::size_t step_;
  std::size_t stored_ = 0;
};

// What a row of weights becomes in a panel.
struct Float32 {
  using Number = float;
  std::size_t panel_width;

  static bool splits(const float* row, std::size_t k) {
    float top = 0;
    bool finite = true;
    for (std::size_t i = 0; i < k; ++i) {
      top = std::max(top, std::abs(row[i]));
      finite &= std::abs(row[i]) <= kMostTop;
    }
    return finite && (top == 0 || top >= kLeastTop);
  }

  void convert(filbert_weight& weight, std::size_t index, float* row, std::size_t k, Number* out) const {
    std::copy_n(row, k, out);
    if (!weight.plain.empty() && !splits(row, k)) weight.plain[index / panel_width] = 1;
  }
};

struct Bfloat16 {
  using Number = std::uint16_t;
  void convert(filbert_weight&, std::size_t, float* row, std::size_t k, Number* out) const {
    for (std::size_t i = 0; i < k; ++i) out[i] = float_to_bf16(row[i]);
  }
};

struct Int8 {
  using Number = std::int8_t;
  static constexpr float kRounds = 0x1.8p23f;  // its neighbours are 1 apart: a sum with it is rounded to an integer
  std::int32_t zero_point;

  // A NaN or an infinity makes the whole row NaN or infinite.
  void convert(filbert_weight& weight, std::size_t index, float* row, std::size_t k, Number* out) const {
    if (!weight.factors.empty())
      for (std::size_t i = 0; i < k; ++i) row[i] /= weight.factors[i];
    rotate_row(row, k);
    // As integers, magnitudes are in order, and infinity and NaN above all of them.
    std::int32_t largest = 0;
    for (std::size_t i = 0; i < k; ++i)
      largest = std::max(largest, std::bit_cast<std::int32_t>(row[i]) & std::numeric_limits<std::int32_t>::max());
    const auto top = std::bit_cast<float>(largest);
    const float inverse = top > 1e-36f && std::isfinite(top) ? 127.0f / top : 0.0f;  // 127 / 1e-37 is infinite
    if (inverse > 0)
      for (std::size_t i = 0; i < k; ++i) out[i] = static_cast<Number>(row[i] * inverse + kRounds - kRounds);
    else
      std::fill_n(out, k, Number{0});
    weight.scales[index] = top / 127.0f;
    weight.offsets[index] = zero_point * std::accumulate(out, out + k, std::int32_t{0});
  }
};

// Puts the numbers of a row into a column of a panel, `Group` at a time.
template <std::size_t Group, typename Number>
void put_column(const Number* numbers, std::size_t count, std::size_t stride, Number* out) {
  for (std::size_t i = 0; i < count; i += Group, out += stride) std::copy_n(numbers + i, Group, out);
}

template <typename Number>
void put_column(std::size_t group, const Number* numbers, std::size_t count, std::size_t width, Number* out) {
  switch (group) {
    case 1:
      return put_column<1>(numbers, count, width, out);
    case 2:
      return put_column<2>(numbers, count, 2 * width, out);
    case 4:
      return put_column<4>(numbers, count, 4 * width, out);
    default:
      return put_column<8>(numbers, count, 8 * width, out);
  }
}

template <typename Type>
void pack_matrix(const Type& type, filbert_weight& weight, const Rows& rows, const MatrixFormat& format,
                 ThreadPool& pool) {
  using Number = typename Type::Number;
  const std::size_t k = weight.cols;
  const std::size_t padded = round_up(k, format.k_multiple);
  const std::size_t panels = (weight.columns + format.panel_width - 1) / format.panel_width;
  allocate(weight, round_up(weight.columns, format.vector_width) * padded * sizeof(Number));
  auto* const data = reinterpret_cast<Number*>(weight.owned.get());
  pool.run(panels, 2 * padded, [&](std::size_t panel, float* row) {
    const std::size_t first = panel * format.panel_width;
    const std::size_t columns = std::min(format.panel_width, weight.columns - first);
    const std::size_t width = round_up(columns, format.vector_width);
    auto* const numbers = reinterpret_cast<Number*>(row + padded);
    std::fill_n(numbers, padded, Number{});
    Number* const out = data + first * padded;
    for (std::size_t j = 0; j < width; ++j) {
      if (j < columns) {
        rows.copy(first + j, row);
        type.convert(weight, first + j, row, k, numbers);
      } else {
        std::fill_n(numbers, padded, Number{});
      }
      put_column(format.group, numbers, padded, width, out + j * format.group);
    }
  });
}

// The root of the mean square of each column, of the rows from the first on.
std::vector<float> column_sizes(const Rows& rows, std::size_t first, std::size_t k, ThreadPool& pool) {
  constexpr std::size_t kShares = 16;
  const std::size_t count = rows.stored() - first;
  std::vector<double> squares(kShares * k);
  pool.run(kShares, k, [&](std::size_t share, float* row) {
    double* const sums = squares.data() + share * k;
    for (std::size_t r = share * count / kShares; r < (share + 1) * count / kShares; ++r) {
      rows.copy_stored(first + r, row);
      for (std::size_t i = 0; i < k; ++i) sums[i] += static_cast<double>(row[i]) * row[i];
    }
  });
  std::vector<float> sizes(k);
  for (std::size_t i = 0; i < k; ++i) {
    double sum = 0;
    for (std::size_t share = 0; share < kShares; ++share) sum += squares[share * k + i];
    sizes[i] = static_cast<float>(std::sqrt(sum / static_cast<double>(count)));
  }
  return sizes;
}

// Factors for the activations, whose inverses the weights get, so that a column is as large in either: this makes the
// error of rounding both least, as SmoothQuant (arXiv:2211.10438) has it, but what comes out of a norm needs no data to
// tell its size: the root of gamma^2 + beta^2.
std::vector<float> balance(const Rows& rows, std::size_t k, const filbert_input_norm& norm, ThreadPool& pool) {
  const std::vector<float> sizes = column_sizes(rows, norm.first_row, k, pool);
  std::vector<float> gamma(k), beta(k), factors(k);
  to_float(norm.gamma.dtype, norm.gamma.data, k, gamma.data());
  if (norm.beta.data) to_float(norm.beta.dtype, norm.beta.data, k, beta.data());
  for (std::size_t i = 0; i < k; ++i) {
    const float factor = std::sqrt(sizes[i] / std::hypot(gamma[i], beta[i]));
    factors[i] = factor > 1e-3f && factor < 1e3f ? factor : 1.0f;  // a dead column, or one that is not finite
  }
  return factors;
}

void pack(filbert_weight& weight, const Rows& rows, filbert_dtype dtype, const MatrixFormat& format, ThreadPool& pool) {
  if (dtype == FILBERT_F32) {
    if (format.in_parts) weight.plain.resize((weight.columns + format.panel_width - 1) / format.panel_width);
    return pack_matrix(Float32{format.panel_width}, weight, rows, format, pool);
  }
  if (dtype == FILBERT_BF16) return pack_matrix(Bfloat16{}, weight, rows, format, pool);
  weight.scales.resize(weight.columns);
  weight.offsets.resize(weight.columns);
  pack_matrix(Int8{format.zero_point}, weight, rows, format, pool);
}

}  // namespace

const float* floats_of(const filbert_weight* weight) {
  return weight ? static_cast<const float*>(weight->data) : nullptr;
}

std::unique_ptr<filbert_weight> make_weight(filbert_weight_kind kind, const filbert_host_tensor* parts,
                                            std::size_t count, const filbert_input_norm* input_norm,
                                            filbert_dtype dtype, const MatrixFormat& format, ThreadPool& pool) {
  auto weight = std::make_unique<filbert_weight>();
  weight->gated = kind == FILBERT_GATED_MATRIX || kind == FILBERT_GATED_VECTOR;
  const Rows rows(parts, count, weight->gated, format.vector_width);
  weight->rows = weight->gated ? parts[0].rows : rows.stored();
  weight->cols = parts[0].cols;
  weight->columns = rows.places();
  const bool aligned = reinterpret_cast<std::uintptr_t>(parts[0].data) % alignof(float) == 0;
  if (kind == FILBERT_MATRIX || kind == FILBERT_GATED_MATRIX) {
    if (dtype == FILBERT_I8 && input_norm) weight->factors = balance(rows, weight->cols, *input_norm, pool);
    pack(*weight, rows, dtype, format, pool);
  } else if (kind == FILBERT_TABLE && count == 1 && parts[0].dtype == FILBERT_F32 && aligned) {
    weight->data = parts[0].data;
  } else {
    allocate(*weight, rows.places() * weight->cols * sizeof(float));
    auto* const out = reinterpret_cast<float*>(weight->owned.get());
    for (std::size_t row = 0; row < rows.places(); ++row) rows.copy(row, out + row * weight->cols);
  }
  return weight;
}

}  // namespace filbert::cpu
