// Norms, pooling and conversions on the simulated device, against plain loops in double precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "cuda_on_cpu/machine.h"
#include "device_array.h"
#include "floats.h"
#include "stored.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

constexpr float kEps = 1e-12f;
constexpr double kUlp = 0x1p-24;

// The error of a float32 sum over a row, in units of kUlp of the mean magnitude: a thread adds 78 numbers at most
// (20,001 among 256 threads), then come 5 shuffles and 8 warps, and the same once more for the variance, whose root
// halves it.
constexpr double kRowError = 150 * kUlp;

constexpr std::size_t kNormWidths[] = {1,   7,   8,    31,   32,   33,   128,  384,  512,   516,  768,
                                       769, 776, 1000, 1023, 1024, 1025, 1032, 2047, 16384, 20001};

struct NormVectors {
  std::vector<float> gamma, beta;
  DeviceArray<float> device_gamma, device_beta;
  explicit NormVectors(std::size_t width)
      : gamma(random_floats(width, 11)), beta(random_floats(width, 12)), device_gamma(gamma), device_beta(beta) {}
};

template <typename T>
void check_norm(const std::vector<double>& x, const NormVectors& vectors, const std::vector<float>& got) {
  const std::size_t width = vectors.gamma.size();
  REQUIRE(got.size() == x.size());
  for (std::size_t row = 0; row < x.size() / width; ++row) {
    const double* in = x.data() + row * width;
    double mean = 0, variance = 0, magnitude = 0;
    for (std::size_t j = 0; j < width; ++j) mean += in[j] / static_cast<double>(width);
    for (std::size_t j = 0; j < width; ++j) variance += (in[j] - mean) * (in[j] - mean) / static_cast<double>(width);
    for (std::size_t j = 0; j < width; ++j) magnitude = std::max(magnitude, std::abs(in[j]));
    const double inverse = 1 / std::sqrt(variance + kEps);
    for (std::size_t j = 0; j < width; ++j) {
      CAPTURE(row);
      CAPTURE(j);
      const double gamma = vectors.gamma[j], beta = vectors.beta[j];
      const double normal = (in[j] - mean) * inverse;
      const double error =
          std::abs(gamma) * (kRowError * std::abs(normal) + (width == 1 ? 0 : kRowError * magnitude * inverse)) +
          4 * kUlp * std::abs(beta);
      CHECK(is_near<T>(got[row * width + j], normal * gamma + beta, error));
    }
  }
}

template <typename T>
std::vector<T> run_norm(const std::vector<T>& x, const NormVectors& vectors) {
  const std::size_t width = vectors.gamma.size();
  const DeviceArray<T> in(x);
  const DeviceArray<T> out(x.size());
  const Norm args = {in.data(), vectors.device_gamma.data(), vectors.device_beta.data(), kEps, x.size() / width, width,
                     out.data()};
  REQUIRE(norm(Stored<T>::kType, args, nullptr) == cudaSuccess);
  return out.host();
}

}  // namespace

TEST_CASE_TEMPLATE("rows: norm", T, float, F16, Bf16) {
  for (const std::size_t width : kNormWidths) {
    CAPTURE(width);
    constexpr std::size_t kTokens = 6;
    const NormVectors vectors(width);
    std::vector<float> x = random_floats(kTokens * width, 1);
    for (float& value : x) value += 0.5f;
    std::fill_n(x.begin(), width, 2.0f);  // no variance at all: the shift is what is left
    const std::vector<T> in = stored<T>(x);
    const std::vector<T> out = run_norm(in, vectors);
    const std::vector<float> numbers = floats(in);
    check_norm<T>({numbers.begin() + static_cast<std::ptrdiff_t>(width), numbers.end()}, vectors,
                  floats(rows_of(out, width, 1, kTokens)));
    CHECK(same(rows_of(out, width, 0, 1), stored<T>(vectors.beta)));
    for (std::size_t begin = 0; begin < kTokens; ++begin)
      for (const std::size_t end : {begin + 1, kTokens})
        CHECK(same(run_norm(rows_of(in, width, begin, end), vectors), rows_of(out, width, begin, end)));
  }
}

TEST_CASE("rows: nothing to do is no error") {
  Norm none = {};
  none.width = 384;
  CHECK(norm(Type::bf16, none, nullptr) == cudaSuccess);
  EmbedNorm no_ids = {};
  no_ids.width = 384;
  CHECK(embed_norm(Type::bf16, no_ids, nullptr) == cudaSuccess);
  Pool no_sequence = {};
  no_sequence.width = 384;
  CHECK(pool(Type::bf16, no_sequence, nullptr) == cudaSuccess);
  for (const Type type : {Type::f32, Type::f16}) {
    CHECK(convert(FILBERT_F32, nullptr, 0, type, nullptr, nullptr) == cudaSuccess);
    CHECK(convert(dtype_of(type), nullptr, 0, Type::f32, nullptr, nullptr) == cudaSuccess);
  }
}

TEST_CASE_TEMPLATE("rows: sums of embeddings and their norm", T, float, F16, Bf16) {
  constexpr std::size_t kTokens = 9, kWords = 30, kTypes = 2, kPositions = 12;
  for (const std::size_t width : kNormWidths) {
    const NormVectors vectors(width);
    const std::vector<float> word = random_floats(kWords * width, 1), type = random_floats(kTypes * width, 2),
                             position = random_floats(kPositions * width, 3);
    std::vector<std::int32_t> ids(kTokens), types(kTokens), positions(kTokens);
    std::mt19937 generator(5);
    for (std::size_t t = 0; t < kTokens; ++t) {
      ids[t] = static_cast<std::int32_t>(t == 0 ? kWords - 1 : generator() % kWords);
      types[t] = static_cast<std::int32_t>(generator() % kTypes);
      positions[t] = static_cast<std::int32_t>(t == 1 ? kPositions - 1 : generator() % kPositions);
    }
    const DeviceArray<float> device_word(word), device_type(type), device_position(position);
    const DeviceArray<std::int32_t> device_ids(ids), device_types(types), device_positions(positions);
    for (const bool has_type : {false, true})
      for (const bool has_position : {false, true}) {
        CAPTURE(width);
        CAPTURE(has_type);
        CAPTURE(has_position);
        const DeviceArray<T> out(kTokens * width);
        const EmbedNorm args = {device_ids.data(),
                                has_type ? device_types.data() : nullptr,
                                has_position ? device_positions.data() : nullptr,
                                device_word.data(),
                                has_type ? device_type.data() : nullptr,
                                has_position ? device_position.data() : nullptr,
                                vectors.device_gamma.data(),
                                vectors.device_beta.data(),
                                kEps,
                                kTokens,
                                width,
                                out.data()};
        REQUIRE(embed_norm(Stored<T>::kType, args, nullptr) == cudaSuccess);
        std::vector<double> sums(kTokens * width);
        for (std::size_t i = 0; i < sums.size(); ++i) {
          const std::size_t t = i / width, j = i % width;
          sums[i] = word[static_cast<std::size_t>(ids[t]) * width + j];
          if (has_type) sums[i] += type[static_cast<std::size_t>(types[t]) * width + j];
          if (has_position) sums[i] += position[static_cast<std::size_t>(positions[t]) * width + j];
        }
        check_norm<T>(sums, vectors, floats(out.host()));
      }
  }
}

namespace {

constexpr filbert_pooling kPoolings[] = {FILBERT_POOL_FIRST, FILBERT_POOL_MEAN, FILBERT_POOL_MAX};

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
    value[j] = pooling == FILBERT_POOL_MEAN ? sum / count : pooling == FILBERT_POOL_MAX ? top : x[j];
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

TEST_CASE("rows: the order of threads does not matter") {
  const filbert::cuda_on_cpu::Restore restore;
  const NormVectors vectors(2048);
  const std::vector<Bf16> x = stored<Bf16>(random_floats(40 * 2048, 1));
  const std::vector<Bf16> normed = run_norm(x, vectors);
  const std::vector<Bf16> pooled = run_pool(x, 2048, {40}, FILBERT_POOL_MEAN, true);
  for (std::uint64_t seed = 2; seed < 20; ++seed) {
    filbert::cuda_on_cpu::machine().seed = seed;
    CHECK(same(run_norm(x, vectors), normed));
    CHECK(same(run_pool(x, 2048, {40}, FILBERT_POOL_MEAN, true), pooled));
  }
}
