// The ops of the table on the simulated device: what comes of their arguments, beside the functions behind them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "cuda/backend.h"
#include "cuda/row_ops.h"
#include "engine/ops.h"
#include "floats.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// A backend, and memory and weights that live as long.
class Device {
 public:
  explicit Device(filbert_dtype dtype) : ops(cuda::backend(), 0, 0, dtype) {}
  ~Device() {
    for (filbert_weight* weight : weights_) ops.free_weight(weight);
    for (void* block : memory_) ops.free(block);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  void* alloc(std::size_t bytes) {
    memory_.push_back(ops.alloc(bytes));
    return memory_.back();
  }
  template <typename T>
  T* put(const std::vector<T>& values) {
    void* to = alloc(values.size() * sizeof(T));
    ops.upload(to, values.data(), values.size() * sizeof(T));
    ops.sync();  // tests use it on another stream
    return static_cast<T*>(to);
  }
  // Activations whose numbers have no more than 8 bits.
  void* activations(const std::vector<float>& values) {
    if (ops.device().activation_bytes == 4) return put(values);
    std::vector<std::uint16_t> upper(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, &values[i], 4);
      upper[i] = static_cast<std::uint16_t>(bits >> 16);
    }
    return put(upper);
  }
  std::vector<float> read(const void* activation, std::size_t count) {
    std::vector<float> result;
    ops.read(activation, count, result);
    return result;
  }
  // Parts of that many rows each.
  filbert_weight* weight(filbert_weight_kind kind, const std::vector<std::vector<float>>& parts, std::size_t rows) {
    std::vector<filbert_host_tensor> tensors;
    for (const auto& part : parts) tensors.push_back({part.data(), FILBERT_F32, rows, part.size() / rows});
    weights_.push_back(ops.load_weight(kind, tensors.data(), tensors.size()));
    return weights_.back();
  }
  filbert_weight* vector(const std::vector<float>& values) { return weight(FILBERT_VECTOR, {values}, values.size()); }

  Ops ops;

 private:
  std::vector<void*> memory_;
  std::vector<filbert_weight*> weights_;
};

const float* floats(const filbert_weight* weight) { return static_cast<const float*>(weight->data); }

}  // namespace

TEST_CASE("backend: an op of a kind that it does not know is an error that names it, and no other op") {
  Device device(FILBERT_F32);
  const std::vector<float> gamma(8, 1.0f);
  void* x = device.activations(random_floats(16, 1));
  void* out = device.activations(std::vector<float>(16, 7.0f));
  const filbert_norm_args args = {FILBERT_LAYER_NORM, x, device.vector(gamma), nullptr, 0, 8, out, nullptr};
  for (const int kind : {6, 7})  // what the enumeration has room for
    for (const filbert_readers readers : {FILBERT_OTHERS, FILBERT_NEXT_ALONE}) {
      filbert_token_op unknown = norm(args, readers);
      unknown.kind = static_cast<filbert_token_op_kind>(kind);
      const std::string message = "cuda: there is no op of kind " + std::to_string(kind);
      CHECK_THROWS_WITH_AS(device.ops.token_ops({unknown, norm(args)}, 2), message.c_str(), DeviceError);
      CHECK(device.read(out, 16) == std::vector<float>(16, 7.0f));
    }
  device.ops.token_ops({norm(args)}, 2);
  CHECK(device.read(out, 16) != std::vector<float>(16, 7.0f));
}

TEST_CASE("backend: heads for which there is no kernel are an error") {
  for (const filbert_dtype dtype : {FILBERT_F32, FILBERT_BF16}) {
    Device device(dtype);
    filbert_attention_args args = {};
    args.head_size = 257;
    CHECK_THROWS_WITH_AS(device.ops.attention(args),
                         "cuda: attention has heads of at most 256 numbers, not the 257 of this model", DeviceError);
  }
}

TEST_CASE("backend: sums of embeddings are written unless the next op norms them and nobody else reads them") {
  constexpr std::size_t kTokens = 5, kWidth = 24;
  for (const filbert_dtype dtype : {FILBERT_F32, FILBERT_BF16}) {
    Device device(dtype);
    const filbert_weight* word = device.weight(FILBERT_TABLE, {random_floats(10 * kWidth, 1)}, 10);
    const filbert_weight* type = device.weight(FILBERT_TABLE, {random_floats(2 * kWidth, 2)}, 2);
    const filbert_weight* position = device.weight(FILBERT_TABLE, {random_floats(7 * kWidth, 3)}, 7);
    const filbert_weight* gamma = device.vector(random_floats(kWidth, 4));
    const filbert_weight* beta = device.vector(random_floats(kWidth, 5));
    const std::int32_t* ids = device.put<std::int32_t>({9, 0, 3, 3, 1});
    const std::int32_t* types = device.put<std::int32_t>({0, 1, 1, 0, 1});
    const std::int32_t* positions = device.put<std::int32_t>({0, 1, 2, 3, 6});
    const std::vector<float> untouched(kTokens * kWidth, 7.0f);
    void* sum = device.activations(untouched);
    void* out = device.activations(untouched);
    const filbert_embed_args args = {ids, types, positions, word, type, position, kWidth, sum, 1, nullptr};
    const filbert_norm_args to = {FILBERT_LAYER_NORM, sum, gamma, beta, 1e-12f, kWidth, out, nullptr};

    device.ops.token_ops({embed(args, FILBERT_NEXT_ALONE), norm(to)}, kTokens);
    const std::vector<float> at_once = device.read(out, kTokens * kWidth);
    CHECK(device.read(sum, kTokens * kWidth) == untouched);
    for (const filbert_readers readers : {FILBERT_OTHERS, FILBERT_NEXT_AND_OTHERS}) {
      device.ops.token_ops({embed(args, readers), norm(to)}, kTokens);
      const std::vector<float> written = device.read(sum, kTokens * kWidth);
      CHECK(written != untouched);
      const std::vector<float> in_turn = device.read(out, kTokens * kWidth);
      CHECK(difference(in_turn, at_once) < (dtype == FILBERT_F32 ? 1e-6 : 0x1p-5));
      if (dtype == FILBERT_BF16) CHECK(in_turn != at_once);  // the sums were rounded
    }
    // Alone the readers, but no norm comes next.
    sum = device.activations(untouched);
    filbert_embed_args last = args;
    last.out = sum;
    device.ops.token_ops({embed(last, FILBERT_NEXT_ALONE)}, kTokens);
    CHECK(device.read(sum, kTokens * kWidth) != untouched);
  }
}

TEST_CASE("backend: a gated layer, of every type, with and without bias") {
  const std::vector<float> gate = {1, -2, 0.5f, 3, 0.25f, -8}, other = {2, 1, -1, 4, 8, 0.5f};
  for (const filbert_dtype dtype : {FILBERT_F32, FILBERT_BF16, FILBERT_F16}) {
    CAPTURE(dtype);
    Device device(dtype);
    const filbert_weight* weight = device.weight(FILBERT_GATED_MATRIX, {gate, other}, 3);
    const filbert_weight* bias = device.weight(FILBERT_GATED_VECTOR, {{1, 2, 3}, {0, -1, 1}}, 3);
    // The identity [2, 2], so that sums are columns.
    void* x = dtype == FILBERT_F16 ? static_cast<void*>(device.put<std::uint16_t>({0x3c00, 0, 0, 0x3c00}))
                                   : device.activations({1, 0, 0, 1});
    void* out = device.alloc(6 * device.ops.device().activation_bytes);
    device.ops.token_ops({linear({x, weight, nullptr, nullptr, FILBERT_RELU, out, 0})}, 2);
    CHECK(device.read(out, 6) == std::vector<float>{2, -0.5f, 2, 0, 12, 0});
    device.ops.token_ops({linear({x, weight, bias, nullptr, FILBERT_RELU, out, 0})}, 2);
    CHECK(device.read(out, 6) == std::vector<float>{4, -5, 29.25f, 0, 15, 0});
  }
}

TEST_CASE("backend: ops on heads, of rows and of sequences do what the functions behind them do") {
  constexpr std::size_t kTokens = 9, kHeads = 4, kShared = 2, kSize = 8, kWidth = (kHeads + 2 * kShared) * kSize;
  constexpr std::size_t kHidden = kHeads * kSize;
  Device device(FILBERT_F32);
  const std::vector<float> numbers = random_floats(kTokens * kWidth, 1);
  void* qkv = device.put(numbers);
  void* expected_qkv = device.put(numbers);
  const filbert_heads q = {qkv, kWidth, 0, kTokens}, k = {qkv, kWidth, kHidden, kTokens};
  const filbert_heads v = {qkv, kWidth, kHidden + kShared * kSize, kTokens};
  const filbert_weight* gamma = device.vector(random_floats(kSize, 2));
  const filbert_weight* beta = device.vector(random_floats(kSize, 3));
  const filbert_weight* frequencies = device.vector({1, 0.5f, 0.125f});
  const filbert_weight* relation = device.vector(random_floats(kHeads * 5, 4));
  const std::int32_t* columns = device.put<std::int32_t>({0, 1, 3, 4, 5, 0, 2, 3, 4});
  const std::int32_t* key_begin = device.put<std::int32_t>({1, 5});
  const filbert_batch batch = {device.put<std::int32_t>({0, 5, 9}), key_begin, columns, 2, 5, nullptr, {}};

  device.ops.token_ops({head_norm({FILBERT_RMS_NORM, q, kHeads, kSize, gamma, beta, 0.5f}),
                        rope({k, kShared, kSize, columns, frequencies, 6})},
                       kTokens);
  CHECK(cuda::head_norm(cuda::Type::f32,
                        {FILBERT_RMS_NORM, {expected_qkv, kWidth, 0, kTokens}, kHeads, kSize, gamma, beta, 0.5f},
                        kTokens, nullptr) == cudaSuccess);
  CHECK(cuda::rope(cuda::Type::f32, {{expected_qkv, kWidth, kHidden, kTokens}, kShared, kSize, columns, frequencies, 6},
                   kTokens, nullptr) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  const std::vector<float> turned = device.read(qkv, kTokens * kWidth);
  CHECK(turned != numbers);
  CHECK(same_bits(turned, device.read(expected_qkv, kTokens * kWidth)));

  void* out = device.alloc(kTokens * kHidden * 4);
  void* expected = device.alloc(kTokens * kHidden * 4);
  float* probabilities = static_cast<float*>(device.alloc(kHeads * (25 + 16) * 4));
  float* expected_probabilities = static_cast<float*>(device.alloc(kHeads * (25 + 16) * 4));
  const std::int64_t* offsets = device.put<std::int64_t>({0, kHeads * 25});
  const auto attend = [&](bool causal, std::size_t window, const filbert_weight* bias, filbert_rows rows) {
    CAPTURE(causal);
    CAPTURE(window);
    CAPTURE(rows);
    const bool all = rows == FILBERT_ROWS_ALL;
    device.ops.attention({&batch, q, k, v, kHeads, kShared, kSize, 0.25f, causal, window, bias,
                          bias ? std::size_t{2} : 0, rows, out, all ? probabilities : nullptr,
                          all ? offsets : nullptr});
    const cuda::Attention task = {batch,
                                  q,
                                  k,
                                  v,
                                  kHeads,
                                  kShared,
                                  kSize,
                                  0.25f,
                                  causal,
                                  static_cast<std::int32_t>(std::min<std::size_t>(window, 1000)),
                                  bias ? floats(bias) : nullptr,
                                  bias ? 2 : 0,
                                  rows,
                                  expected,
                                  all ? expected_probabilities : nullptr,
                                  all ? offsets : nullptr};
    CHECK(cuda::attention(cuda::Type::f32, task, nullptr) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    const std::vector<float> found = device.read(out, (all ? kTokens : 2) * kHidden);
    CHECK(same_bits(found, device.read(expected, found.size())));
    if (all)
      CHECK(same_bits(device.read(probabilities, kHeads * 41), device.read(expected_probabilities, kHeads * 41)));
    return found;
  };
  const std::vector<float> plain = attend(false, 0, nullptr, FILBERT_ROWS_ALL);
  CHECK(attend(false, (std::size_t{1} << 32) + 1, nullptr, FILBERT_ROWS_ALL) == plain);
  CHECK(attend(false, 1, nullptr, FILBERT_ROWS_ALL) != plain);
  CHECK(attend(true, 0, nullptr, FILBERT_ROWS_ALL) != plain);
  CHECK(attend(false, 0, relation, FILBERT_ROWS_ALL) != plain);
  CHECK(attend(false, 0, nullptr, FILBERT_ROWS_FIRST) != attend(false, 0, nullptr, FILBERT_ROWS_LAST));

  const filbert_weight* by_distance = device.vector({0, 1, 1, 2, 3});
  const filbert_heads table = {device.put(random_floats(4 * kHidden, 5)), kHidden, 0, 4};
  const filbert_heads whole = {device.put(random_floats(kTokens * kHidden, 6)), kHidden, 0,
                               kTokens};  // as many heads as q's
  const auto disentangle = [&](const filbert_heads& position_k, const filbert_heads& position_q) {
    device.ops.disentangled_attention({{&batch, q, whole, whole, kHeads, kHeads, kSize, 0.25f, 0, 0, nullptr, 0,
                                        FILBERT_ROWS_ALL, out, nullptr, nullptr},
                                       position_k,
                                       position_q,
                                       by_distance,
                                       2});
    const cuda::Attention task = {batch, q, whole,   whole, kHeads,           kHeads,   kSize,   0.25f,
                                  false, 0, nullptr, 0,     FILBERT_ROWS_ALL, expected, nullptr, nullptr};
    CHECK(cuda::disentangled_attention(cuda::Type::f32, {task, position_k, position_q, floats(by_distance), 2},
                                       nullptr) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    const std::vector<float> found = device.read(out, kTokens * kHidden);
    CHECK(same_bits(found, device.read(expected, found.size())));
    return found;
  };
  const std::vector<float> both = disentangle(table, table);
  CHECK(disentangle(table, {}) != both);
  CHECK(disentangle({}, table) != both);

  void* around = device.alloc(kTokens * 3 * kWidth * 4);
  device.ops.neighbours({&batch, qkv, kWidth, 1, around});
  const std::vector<float> windows = device.read(around, kTokens * 3 * kWidth);
  CHECK(same_bits(slice(windows, 3 * kWidth, kWidth), std::vector<float>(kWidth)));  // the first token is no key
  CHECK(same_bits(slice(windows, 5 * kWidth, kWidth), std::vector<float>(kWidth)));  // column 2 is missing

  const std::int32_t* rows = device.put<std::int32_t>({8, 4, 4});
  device.ops.gather({qkv, rows, 3, kWidth, out});
  const std::vector<float> gathered = device.read(out, 3 * kWidth);
  CHECK(same_bits(slice(gathered, 0, kWidth), slice(turned, 8 * kWidth, kWidth)));
  CHECK(same_bits(slice(gathered, 2 * kWidth, kWidth), slice(turned, 4 * kWidth, kWidth)));
  device.ops.pool({&batch, qkv, kWidth, FILBERT_POOL_LAST, 0, out});
  const std::vector<float> pooled = device.read(out, 2 * kWidth);
  CHECK(slice(pooled, 0, kWidth) == slice(turned, 4 * kWidth, kWidth));
  CHECK(slice(pooled, kWidth, kWidth) == slice(turned, 8 * kWidth, kWidth));

  // Weights all alike: each of both experts makes gelu(x 1^T) 1 of a row, and counts one half.
  const std::vector<float> ones(kHidden * kHidden, 1.0f);
  const filbert_weight* matrix = device.weight(FILBERT_MATRIX, {ones}, kHidden);
  const std::vector<const filbert_weight*> both_alike = {matrix, matrix};
  void* alike = device.put(std::vector<float>(2 * kHidden, 8.0f / kHidden));
  filbert_experts_args mixture = {alike,
                                  2,
                                  device.weight(FILBERT_TABLE, {std::vector<float>(2 * kHidden)}, 2),
                                  both_alike.data(),
                                  both_alike.data(),
                                  device.vector(std::vector<float>(kHidden, 3)),
                                  alike,
                                  2,
                                  1,
                                  FILBERT_GELU_ERF,
                                  nullptr,
                                  out};
  mixture.memory = device.alloc(device.ops.experts_memory(mixture));
  device.ops.experts(mixture);
  const std::vector<float> mixed = device.read(out, 2 * kHidden);
  CHECK(difference(mixed, std::vector<float>(2 * kHidden, 8.0f * kHidden / 2 + 3 + 8.0f / kHidden)) < 1e-6);
}
