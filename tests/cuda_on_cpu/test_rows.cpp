// Pooling, gathering, scattering and conversions on the simulated device, against plain loops in double precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "cuda/row_ops.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"
#include "floats.h"
#include "stored.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr double kUlp = 0x1p-24;

// The error of a float32 sum of squares over a row, in units of kUlp: a thread adds 5 numbers at most (2500 among 512
// threads), then come 5 shuffles and 16 warps.
constexpr double kRowError = 30 * kUlp;

constexpr filbert_pooling kPoolings[] = {FILBERT_POOL_FIRST, FILBERT_POOL_MEAN, FILBERT_POOL_MAX, FILBERT_POOL_LAST};

template <typename T>
std::vector<T> run_pool(const std::vector<T>& x, std::size_t width, const std::vector<std::int32_t>& lengths,
                        filbert_pooling pooling, bool normalize) {
  std::vector<std::int32_t> cu_seqlens(lengths.size() + 1);
  std::partial_sum(lengths.begin(), lengths.end(), cu_seqlens.begin() + 1);
  const DeviceArray<T> in(x);
  const DeviceArray<std::int32_t> ends(cu_seqlens);
  const DeviceArray<T> out(lengths.size() * width);
  const Pool args = {in.data(), ends.data(), lengths.size(), width, pooling, normalize, out.data()};
  REQUIRE(pool(Stored<T>::kType, args, nullptr) == cudaSuccess);
  return out.host();
}

// x [length, width]. A thread adds a quarter of the tokens at most, then come four group sums.
template <typename T>
void check_pool(const std::vector<float>& x, std::size_t width, filbert_pooling pooling, bool normalize,
                const std::vector<float>& got) {
  const std::size_t length = x.size() / width;
  std::vector<double> value(width), error(width);
  double squares = 0;
  for (std::size_t j = 0; j < width; ++j) {
    double sum = 0, magnitude = 0, top = x[j];
    for (std::size_t t = 0; t < length; ++t) {
      sum += x[t * width + j];
      magnitude += std::abs(static_cast<double>(x[t * width + j]));
      top = std::max<double>(top, x[t * width + j]);
    }
    const auto count = static_cast<double>(length);
    value[j] = pooling == FILBERT_POOL_MEAN   ? sum / count
               : pooling == FILBERT_POOL_MAX  ? top
               : pooling == FILBERT_POOL_LAST ? x[(length - 1) * width + j]
                                              : x[j];
    if (pooling == FILBERT_POOL_MEAN) error[j] = (count / 4 + 6) * kUlp * magnitude / count;
    squares += value[j] * value[j];
  }
  const double divisor = normalize ? std::max(std::sqrt(squares), 1e-12) : 1;
  for (std::size_t j = 0; j < width; ++j) {
    CAPTURE(j);
    if (normalize) error[j] = error[j] / divisor * 2 + kRowError * std::abs(value[j]) / divisor;
    CHECK(is_near<T>(got[j], value[j] / divisor, error[j]));
  }
}

}  // namespace

TEST_CASE("rows: nothing to do is no error") {
  Pool no_sequence = {};
  no_sequence.width = 384;
  CHECK(pool(Type::bf16, no_sequence, nullptr) == cudaSuccess);
  Gather no_row = {};
  no_row.width = 384;
  CHECK(gather(Type::bf16, no_row, nullptr) == cudaSuccess);
  for (const Type type : {Type::f32, Type::f16}) {
    CHECK(convert(FILBERT_F32, nullptr, 0, type, nullptr, nullptr) == cudaSuccess);
    CHECK(convert(dtype_of(type), nullptr, 0, Type::f32, nullptr, nullptr) == cudaSuccess);
  }
}

TEST_CASE_TEMPLATE("rows: pooling of ragged sequences, each as if alone", T, float, F16, Bf16) {
  const std::vector<std::int32_t> lengths = {3, 1, 300, 2, 16, 17, 33, 129};
  const auto tokens = static_cast<std::size_t>(std::accumulate(lengths.begin(), lengths.end(), 0));
  for (const std::size_t width : {1, 7, 31, 32, 33, 257, 384, 768, 1000, 1024, 1032, 2500})
    for (const filbert_pooling pooling : kPoolings)
      for (const bool normalize : {false, true}) {
        CAPTURE(width);
        CAPTURE(pooling);
        CAPTURE(normalize);
        const std::vector<T> x = stored<T>(random_floats(tokens * width, 1));
        const std::vector<T> out = run_pool(x, width, lengths, pooling, normalize);
        std::size_t begin = 0;
        for (std::size_t s = 0; s < lengths.size(); ++s) {
          CAPTURE(s);
          const std::size_t end = begin + static_cast<std::size_t>(lengths[s]);
          const std::vector<T> own = rows_of(x, width, begin, end);
          const std::vector<T> row = rows_of(out, width, s, s + 1);
          check_pool<T>(floats(own), width, pooling, normalize, floats(row));
          if (width <= 384) CHECK(same(run_pool(own, width, {lengths[s]}, pooling, normalize), row));
          begin = end;
        }
      }
}

TEST_CASE_TEMPLATE("rows: pooling of zeros, and beside NaN", T, float, F16, Bf16) {
  constexpr std::size_t kWidth = 40;
  for (const filbert_pooling pooling : kPoolings) {
    std::vector<float> x(5 * kWidth, 0.0f);
    std::fill_n(x.begin() + 2 * kWidth, kWidth, NAN);
    const std::vector<float> out = floats(run_pool(stored<T>(x), kWidth, {2, 1, 2}, pooling, true));
    CHECK(slice(out, 0, kWidth) == std::vector<float>(kWidth, 0.0f));
    for (const float value : slice(out, kWidth, kWidth)) CHECK(std::isnan(value));
    CHECK(slice(out, 2 * kWidth, kWidth) == std::vector<float>(kWidth, 0.0f));
  }
}

TEST_CASE_TEMPLATE("rows: conversions, at any alignment", T, float, F16, Bf16) {
  for (const std::size_t count : {1, 7, 8, 9, 255, 2048, 2049, 5003})
    for (const std::size_t offset : {0, 1}) {
      CAPTURE(count);
      CAPTURE(offset);
      std::vector<float> x = random_floats(count, 1, 100.0f);
      x[0] = 1e6f;
      x[count - 1] = -1e-6f;
      const std::vector<T> expected = stored<T>(x);
      std::vector<float> shifted(offset, 0.0f);
      shifted.insert(shifted.end(), x.begin(), x.end());
      const DeviceArray<float> in(shifted), back(offset + count);
      const DeviceArray<T> out(offset + count);
      constexpr Type kType = Stored<T>::kType;
      REQUIRE(convert(FILBERT_F32, in.data() + offset, count, kType, out.data() + offset, nullptr) == cudaSuccess);
      REQUIRE(convert(dtype_of(kType), out.data() + offset, count, Type::f32, back.data() + offset, nullptr) ==
              cudaSuccess);
      CHECK(same(rows_of(out.host(), 1, offset, offset + count), expected));
      CHECK(same_bits(rows_of(back.host(), 1, offset, offset + count), floats(expected)));
    }
}

TEST_CASE_TEMPLATE("rows: scattered as float32", T, float, F16, Bf16) {
  const std::vector<std::int64_t> rows = {4, 0, -1, 2, -1};
  for (const std::size_t width : {1, 7, 36, 384, 1500})
    for (const std::size_t offset : {0, 1}) {  // the output is aligned, or not
      CAPTURE(width);
      CAPTURE(offset);
      const std::vector<T> x = stored<T>(random_floats(rows.size() * width, 1));
      const std::vector<float> values = floats(x);
      std::vector<float> expected(5 * width, -1.0f);
      for (std::size_t t = 0; t < rows.size(); ++t)
        if (rows[t] >= 0)
          std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(t * width), width,
                      expected.begin() + rows[t] * static_cast<std::int64_t>(width));
      const DeviceArray<T> in(x);
      const DeviceArray<std::int64_t> to(rows);
      const DeviceArray<float> out(std::vector<float>(offset + 5 * width, -1.0f));
      REQUIRE(scatter(Stored<T>::kType, {in.data(), to.data(), rows.size(), width, out.data() + offset}, nullptr) ==
              cudaSuccess);
      CHECK(same_bits(rows_of(out.host(), 1, offset, offset + 5 * width), expected));
    }
}

TEST_CASE_TEMPLATE("rows: gathered, every bit of them", T, float, F16, Bf16) {
  const std::vector<std::int32_t> rows = {4, 0, 0, 2, 6, 4};
  for (const std::size_t width : {1, 7, 8, 36, 384, 1500}) {
    CAPTURE(width);
    std::vector<float> values = random_floats(7 * width, 1);
    values[4 * width] = NAN;
    const std::vector<T> x = stored<T>(values);
    std::vector<T> expected;
    for (const std::int32_t row : rows)
      for (const T value : rows_of(x, width, static_cast<std::size_t>(row), static_cast<std::size_t>(row) + 1))
        expected.push_back(value);
    const DeviceArray<T> in(x), out(rows.size() * width);
    const DeviceArray<std::int32_t> from(rows);
    REQUIRE(gather(Stored<T>::kType, {in.data(), from.data(), rows.size(), width, out.data()}, nullptr) == cudaSuccess);
    CHECK(same(out.host(), expected));
  }
}

TEST_CASE_TEMPLATE("rows: products, rounded once", T, float, F16, Bf16) {
  const DeviceArray<float> factors(std::vector<float>{0.7f});
  const filbert_weight factor = {factors.data(), 1, 1};
  constexpr std::size_t kTokens = 5;
  for (const std::size_t width : {1u, 8u, 13u, 64u, 2500u}) {
    CAPTURE(width);
    const std::vector<T> x = stored<T>(random_floats(kTokens * width, 1)),
                         y = stored<T>(random_floats(kTokens * width, 2));
    const DeviceArray<T> first(x), second(y), out(x.size());
    const std::vector<float> a = floats(x), b = floats(y);
    const auto check = [&](const void* other, const filbert_weight* by) {
      REQUIRE(multiply(Stored<T>::kType, {first.data(), other, by, width, out.data()}, kTokens, nullptr) ==
              cudaSuccess);
      std::vector<float> expected(a.size());
      for (std::size_t i = 0; i < a.size(); ++i) expected[i] = (by ? 0.7f : 1.0f) * a[i] * (other ? b[i] : 1.0f);
      CHECK(same(out.host(), stored<T>(expected)));
    };
    for (const void* other : {static_cast<const void*>(nullptr), static_cast<const void*>(second.data())})
      for (const filbert_weight* by : {static_cast<const filbert_weight*>(nullptr), &factor}) check(other, by);
  }
  CHECK(multiply(Stored<T>::kType, {nullptr, nullptr, nullptr, 8, nullptr}, 0, nullptr) == cudaSuccess);
}

TEST_CASE("rows: the order of threads does not matter") {
  const filbert::cuda_on_cpu::Restore restore;
  const std::vector<Bf16> x = stored<Bf16>(random_floats(40 * 2048, 1));
  const std::vector<Bf16> pooled = run_pool(x, 2048, {40}, FILBERT_POOL_MEAN, true);
  for (std::uint64_t seed = 2; seed < 20; ++seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    CHECK(same(run_pool(x, 2048, {40}, FILBERT_POOL_MEAN, true), pooled));
  }
}
