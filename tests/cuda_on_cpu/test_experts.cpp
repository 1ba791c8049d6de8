// Mixtures of experts on the simulated device, against plain loops in double precision.
#include "cuda/experts.h"

#include <doctest/doctest.h>

#include <deque>

#include "cuda/weight.h"
#include "experts_case.h"
#include "typed_array.h"

using namespace filbert;
using namespace filbert::cuda;
using namespace filbert::testing;

namespace {

void round_all(Type type, std::vector<float>& values) {
  for (float& value : values) value = rounded(type, value);
}

ExpertsData rounded_data(Type type, ExpertsData data) {
  for (std::vector<float>* values : {&data.x, &data.residual}) round_all(type, *values);
  for (auto* matrices : {&data.up, &data.down})
    for (std::vector<float>& matrix : *matrices) round_all(type, matrix);
  return data;
}

// Rows [begin, end) of the data.
std::vector<float> run(Type type, const ExpertsData& data, std::size_t begin, std::size_t end) {
  const auto rows_of = [&](const std::vector<float>& values) {
    return TypedArray(type, slice(values, begin * data.width, (end - begin) * data.width));
  };
  const TypedArray x = rows_of(data.x), residual = rows_of(data.residual);
  const TypedArray out(type, (end - begin) * data.width);
  const DeviceArray<float> router(data.router), bias(data.bias);
  const filbert_weight router_weight = {router.data(), data.experts, data.width},
                       bias_weight = {bias.data(), data.width, 1};
  std::deque<TypedArray> matrices;
  std::deque<filbert_weight> weights;
  std::vector<const filbert_weight*> up, down;
  for (std::size_t e = 0; e < data.experts; ++e) {
    weights.push_back({matrices.emplace_back(type, data.up[e]).data(), data.inner, data.width});
    up.push_back(&weights.back());
    weights.push_back({matrices.emplace_back(type, data.down[e]).data(), data.width, data.inner});
    down.push_back(&weights.back());
  }
  filbert_experts_args args = {x.data(),    end - begin,      &router_weight,  up.data(),
                               down.data(), &bias_weight,     residual.data(), data.experts,
                               data.top_k,  FILBERT_GELU_ERF, nullptr,         out.data()};
  const DeviceArray<unsigned char> memory(std::vector<unsigned char>(experts_memory(type, args), 0xff));  // NaN
  args.memory = memory.data();
  REQUIRE(experts(type, args, {132, 227 * 1024, false}, nullptr) == cudaSuccess);
  return out.host();
}

}  // namespace

TEST_CASE("experts: against loops in double, odd sizes, and a row alone has the same bits") {
  const ExpertsData cases[] = {
      {1, 1, 1, 1, 1}, {5, 7, 3, 2, 1}, {19, 33, 50, 3, 3}, {37, 64, 48, 8, 2}, {3, 40, 16, 65, 2}};
  for (const Type type : kTypes)
    for (const ExpertsData& exact : cases) {
      CAPTURE(static_cast<int>(type));
      CAPTURE(exact.experts);
      const ExpertsData data = rounded_data(type, exact);
      const std::vector<float> found = run(type, data, 0, data.tokens);
      // Of 16-bit types the inner activations, what an expert gives and the sum are each rounded once.
      CHECK(difference(found, data.expected()) < (type == Type::f32 ? 2e-6 : 4 * unit(type)));
      for (const std::size_t row : {std::size_t{0}, data.tokens - 1})
        CHECK(same_bits(run(type, data, row, row + 1), slice(found, row * data.width, data.width)));
    }
}

TEST_CASE("experts: what was not chosen counts nothing, be it infinite") {
  ExpertsData data = rounded_data(Type::bf16, {6, 16, 16, 3, 1});
  std::fill(data.router.begin(), data.router.end(), 0.0f);  // of equals the first is chosen
  for (const std::size_t e : {1u, 2u}) std::fill(data.down[e].begin(), data.down[e].end(), INFINITY);
  for (const Type type : kTypes) {
    std::vector<float> expected;
    for (std::size_t token = 0; token < data.tokens; ++token) {
      const std::vector<double> only = data.given(0, token);
      for (std::size_t j = 0; j < data.width; ++j)
        expected.push_back(static_cast<float>(only[j] / 3 + data.bias[j] + data.residual[token * data.width + j]));
    }
    CHECK(difference(run(type, data, 0, data.tokens), expected) < (type == Type::f32 ? 2e-6 : 4 * unit(type)));
  }
}
