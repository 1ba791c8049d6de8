// Norms of rows, of embeddings and of heads on the simulated device, against plain loops in double precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>

#include "cuda/row_ops.h"
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

constexpr std::size_t kWidths[] = {1,   7,   8,    31,   32,   33,   128,  384,  512,   516,  768,
                                   769, 776, 1000, 1023, 1024, 1025, 1032, 2047, 16384, 20001};

struct Kind {
  filbert_norm_kind kind;
  bool has_beta;
};
constexpr Kind kKinds[] = {
    {FILBERT_LAYER_NORM, true}, {FILBERT_LAYER_NORM, false}, {FILBERT_RMS_NORM, false}, {FILBERT_RMS_NORM, true}};

struct NormVectors {
  Kind kind;
  std::vector<float> gamma, beta;
  DeviceArray<float> device_gamma, device_beta;
  filbert_weight gamma_weight, beta_weight;
  explicit NormVectors(std::size_t width, Kind kind_ = kKinds[0])
      : kind(kind_),
        gamma(random_floats(width, 11)),
        beta(kind.has_beta ? random_floats(width, 12) : std::vector<float>(width, 0.0f)),
        device_gamma(gamma),
        device_beta(beta),
        gamma_weight{device_gamma.data(), width, 1},
        beta_weight{device_beta.data(), width, 1} {}
  const filbert_weight* beta_or_null() const { return kind.has_beta ? &beta_weight : nullptr; }

  filbert_norm_args args(const void* x, void* out) const {
    return {kind.kind, x, &gamma_weight, beta_or_null(), kEps, gamma.size(), out, nullptr};
  }
  filbert_head_norm_args args(const filbert_heads& heads, std::size_t count) const {
    return {kind.kind, heads, count, gamma.size(), &gamma_weight, beta_or_null(), kEps};
  }
};

template <typename T>
void check_norm(const std::vector<double>& x, const NormVectors& vectors, const std::vector<float>& got) {
  const std::size_t width = vectors.gamma.size();
  REQUIRE(got.size() == x.size());
  for (std::size_t row = 0; row < x.size() / width; ++row) {
    const double* in = x.data() + row * width;
    double mean = 0, variance = 0, magnitude = 0;
    if (vectors.kind.kind == FILBERT_LAYER_NORM)
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
  REQUIRE(norm(Stored<T>::kType, vectors.args(in.data(), out.data()), x.size() / width, nullptr) == cudaSuccess);
  return out.host();
}

}  // namespace

TEST_CASE_TEMPLATE("norm: layer and RMS, with and without beta, each row as if alone", T, float, F16, Bf16) {
  std::size_t turn = 0;
  for (const std::size_t width : kWidths)
    for (int i = 0; i < 2; ++i) {
      CAPTURE(width);
      constexpr std::size_t kTokens = 6;
      const NormVectors vectors(width, kKinds[turn++ % 4]);
      CAPTURE(vectors.kind.kind);
      CAPTURE(vectors.kind.has_beta);
      std::vector<float> x = random_floats(kTokens * width, 1);
      for (float& value : x) value += 0.5f;
      std::fill_n(x.begin(), width, 2.0f);  // no variance at all: the shift is what is left
      const std::vector<T> in = stored<T>(x);
      const std::vector<T> out = run_norm(in, vectors);
      const std::vector<float> numbers = floats(in);
      check_norm<T>({numbers.begin() + static_cast<std::ptrdiff_t>(width), numbers.end()}, vectors,
                    floats(rows_of(out, width, 1, kTokens)));
      std::vector<float> of_twos = vectors.beta;
      if (vectors.kind.kind == FILBERT_RMS_NORM) {  // and of RMS the scale, as 2 / sqrt(4 + eps) is 1
        for (std::size_t j = 0; j < width; ++j) of_twos[j] += vectors.gamma[j];
        CHECK(same(rows_of(out, width, 0, 1), stored<T>(of_twos)));
      } else {
        const std::vector<float> found = floats(rows_of(out, width, 0, 1)), expected = floats(stored<T>(of_twos));
        CHECK(found == expected);
      }
      for (std::size_t begin = 0; begin < kTokens; ++begin)
        for (const std::size_t end : {begin + 1, kTokens})
          CHECK(same(run_norm(rows_of(in, width, begin, end), vectors), rows_of(out, width, begin, end)));
    }
}

TEST_CASE_TEMPLATE("norm: a residual is added to what the norm gives", T, float, F16, Bf16) {
  for (const std::size_t width : kWidths) {
    CAPTURE(width);
    constexpr std::size_t kTokens = 3;
    const NormVectors vectors(width);
    const DeviceArray<T> x(stored<T>(random_floats(kTokens * width, 1)));
    const std::vector<T> more = stored<T>(random_floats(kTokens * width, 2));
    const DeviceArray<T> residual(more);
    const DeviceArray<T> out(kTokens * width);
    filbert_norm_args args = vectors.args(x.data(), out.data());
    args.residual = residual.data();
    REQUIRE(norm(Stored<T>::kType, args, kTokens, nullptr) == cudaSuccess);
    const std::vector<float> found = floats(out.host()), added = floats(more);
    const std::vector<float> normed = floats(run_norm(x.host(), vectors));
    for (std::size_t i = 0; i < found.size(); ++i)  // what is rounded twice here is rounded once there
      CHECK(is_near<T>(found[i], double{normed[i]} + added[i], (sizeof(T) == 4 ? kUlp : 0.01) * std::abs(normed[i])));
  }
}

TEST_CASE_TEMPLATE("norm: of many rows, bit for bit as of few", T, float, F16, Bf16) {
  constexpr std::size_t kWidth = 136, kMany = 2060, kFew = 20;
  for (const Kind& kind : kKinds) {
    const NormVectors vectors(kWidth, kind);
    const DeviceArray<T> x(stored<T>(random_floats(kMany * kWidth, 1)));
    const DeviceArray<T> residual(stored<T>(random_floats(kMany * kWidth, 2)));
    for (const bool added : {false, true}) {
      const DeviceArray<T> many(kMany * kWidth), few(kFew * kWidth);
      for (const auto& [out, rows] : {std::pair{many.data(), kMany}, std::pair{few.data(), kFew}}) {
        filbert_norm_args args = vectors.args(x.data(), out);
        if (added) args.residual = residual.data();
        REQUIRE(norm(Stored<T>::kType, args, rows, nullptr) == cudaSuccess);
      }
      CHECK(same(rows_of(many.host(), kWidth, 0, kFew), few.host()));
    }
  }
}

TEST_CASE_TEMPLATE("norm: of heads, in place, in a part of a matrix, each token as if alone", T, float, F16, Bf16) {
  constexpr std::size_t kTokens = 5, kBeside[][2] = {{0, 0}, {16, 32}, {1, 0}, {0, 3}};
  std::size_t turn = 0;
  for (const std::size_t head_size : {1, 7, 16, 40, 64, 96, 128, 256, 1100})
    for (const std::size_t count : {1, 3})
      for (int i = 0; i < 2; ++i, ++turn) {
        const auto& [before, after] = kBeside[turn % 4];
        const NormVectors vectors(head_size, kKinds[turn / 2 % 4]);
        CAPTURE(head_size);
        CAPTURE(count);
        CAPTURE(before);
        CAPTURE(vectors.kind.kind);
        CAPTURE(vectors.kind.has_beta);
        const std::size_t width = before + count * head_size + after;
        const auto run = [&](const std::vector<T>& x) {
          const DeviceArray<T> matrix(x);
          const filbert_heads heads = {matrix.data(), width, before, x.size() / width};
          REQUIRE(head_norm(Stored<T>::kType, vectors.args(heads, count), x.size() / width, nullptr) == cudaSuccess);
          return matrix.host();
        };
        const std::vector<T> x = stored<T>(random_floats(kTokens * width, 1));
        const std::vector<T> out = run(x);
        const std::vector<float> in = floats(x), got = floats(out);
        std::vector<float> beside = in;
        std::vector<double> heads;
        std::vector<float> of_heads;
        for (std::size_t t = 0; t < kTokens; ++t)
          for (std::size_t j = t * width + before; j < t * width + before + count * head_size; ++j) {
            heads.push_back(in[j]);
            of_heads.push_back(got[j]);
            beside[j] = got[j];
          }
        check_norm<T>(heads, vectors, of_heads);
        CHECK(same_bits(beside, got));
        for (std::size_t t = 0; t < kTokens; ++t)
          CHECK(same(run(rows_of(x, width, t, t + 1)), rows_of(out, width, t, t + 1)));
      }
}

namespace {

// Tables and indices into them; which of the tables an op has is a bit each, and whether words have their own scales.
constexpr float kWordScale = 2;
constexpr float kWordScales[] = {1, 0, 0.5f, 0.25f, 1, 0.5f, 0, 1, 0.125f};
constexpr unsigned kScaled = 8;

struct Embeddings {
  static constexpr std::size_t kTokens = 9, kRows[] = {30, 2, 12};
  std::size_t width;
  std::vector<float> tables[3];
  std::vector<std::int32_t> indices[3];

  explicit Embeddings(std::size_t width_) : width(width_) {
    std::mt19937 generator(5);
    for (std::size_t i = 0; i < 3; ++i) {
      tables[i] = random_floats(kRows[i] * width, static_cast<unsigned>(i + 1));
      for (std::size_t t = 0; t < kTokens; ++t)
        indices[i].push_back(static_cast<std::int32_t>(t == i ? kRows[i] - 1 : generator() % kRows[i]));
    }
  }

  static float scale(unsigned which, std::size_t token) {
    return which & kScaled ? kWordScale * kWordScales[token] : kWordScale;
  }

  std::vector<double> sums(unsigned which) const {
    std::vector<double> result(kTokens * width, 0.0);
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t n = 0; (which >> i & 1) && n < result.size(); ++n)
        result[n] += tables[i][static_cast<std::size_t>(indices[i][n / width]) * width + n % width] *
                     (i == 0 ? scale(which, n / width) : 1.0f);
    return result;
  }

  // vectors: null for the sums themselves.
  template <typename T>
  std::vector<T> run(unsigned which, const NormVectors* vectors) const {
    const DeviceArray<float> word(tables[0]), type(tables[1]), position(tables[2]);
    const DeviceArray<std::int32_t> ids(indices[0]), types(indices[1]), positions(indices[2]);
    const DeviceArray<float> scales(std::vector<float>(kWordScales, kWordScales + kTokens));
    const DeviceArray<T> out(kTokens * width);
    const auto has = [&](unsigned table) { return (which >> table & 1) != 0; };
    const filbert_weight words = {word.data(), kRows[0], width}, kinds = {type.data(), kRows[1], width},
                         places = {position.data(), kRows[2], width};
    const filbert_embed_args args = {has(0) ? ids.data() : nullptr,
                                     has(1) ? types.data() : nullptr,
                                     has(2) ? positions.data() : nullptr,
                                     has(0) ? &words : nullptr,
                                     has(1) ? &kinds : nullptr,
                                     has(2) ? &places : nullptr,
                                     width,
                                     vectors ? nullptr : out.data(),
                                     kWordScale,
                                     which & kScaled ? scales.data() : nullptr};
    REQUIRE((vectors ? embed_norm(Stored<T>::kType, args, vectors->args(nullptr, out.data()), kTokens, nullptr)
                     : embed(Stored<T>::kType, args, kTokens, nullptr)) == cudaSuccess);
    return out.host();
  }
};

}  // namespace

TEST_CASE_TEMPLATE("norm: of sums of embeddings, and the sums themselves", T, float, F16, Bf16) {
  std::size_t turn = 0;
  for (const std::size_t width : kWidths) {
    const Embeddings embeddings(width);
    for (const unsigned which : {1u, 3u, 5u, 7u, 6u, kScaled + 1, kScaled + 7}) {
      const NormVectors vectors(width, kKinds[turn++ % 4]);
      CAPTURE(width);
      CAPTURE(which);
      CAPTURE(vectors.kind.kind);
      const std::vector<double> sums = embeddings.sums(which);
      check_norm<T>(sums, vectors, floats(embeddings.run<T>(which, &vectors)));
      const std::vector<float> found = floats(embeddings.run<T>(which, nullptr));
      // A product, which is exact, and two additions, whose sums are below 16.
      for (std::size_t i = 0; i < sums.size(); ++i) CHECK(is_near<T>(found[i], sums[i], 2 * kUlp * 16));
    }
  }
}

TEST_CASE("norm: nothing to do is no error") {
  filbert_norm_args rows = {};
  rows.width = 384;
  CHECK(norm(Type::bf16, rows, 0, nullptr) == cudaSuccess);
  filbert_embed_args sums = {};
  sums.width = 384;
  CHECK(embed(Type::bf16, sums, 0, nullptr) == cudaSuccess);
  CHECK(embed_norm(Type::bf16, sums, rows, 0, nullptr) == cudaSuccess);
  filbert_head_norm_args heads = {};
  heads.count = 12;
  heads.head_size = 64;
  CHECK(head_norm(Type::bf16, heads, 0, nullptr) == cudaSuccess);
}

TEST_CASE("norm: the order of threads does not matter") {
  const filbert::cuda_on_cpu::Restore restore;
  const std::vector<Bf16> x = stored<Bf16>(random_floats(40 * 2048, 1));
  for (const Kind& kind : kKinds) {
    const NormVectors vectors(2048, kind);
    const std::vector<Bf16> normed = run_norm(x, vectors);
    for (std::uint64_t seed = 2; seed < 10; ++seed) {
      filbert::cuda_on_cpu::machine().seed = seed;
      CHECK(same(run_norm(x, vectors), normed));
    }
  }
}
