// The op table of CUDA devices on the simulated one: what it says when something is missing, and a whole BERT.
#include <doctest/doctest.h>

#include <cstring>

#include "cuda/backend.h"
#include "cuda_on_cpu/machine.h"
#include "engine/arena.h"
#include "engine/ops.h"
#include "floats.h"
#include "forked.h"

using namespace filbert;
using namespace filbert::cuda_on_cpu;
using namespace filbert::testing;

namespace {

std::unique_ptr<Ops> open(filbert_dtype dtype = FILBERT_F32, int index = 0) {
  return std::make_unique<Ops>(cuda::backend(), index, 0, dtype);
}

filbert_weight* load(const Ops& ops, filbert_weight_kind kind, const void* data, filbert_dtype dtype, std::size_t rows,
                     std::size_t cols) {
  const filbert_host_tensor tensor = {data, dtype, rows, cols};
  return ops.load_weight(kind, &tensor, 1);
}

// y [3, 4] = x [3, 8] times a matrix of that many rows.
std::vector<float> multiply(const Ops& ops) {
  const std::vector<float> x = random_floats(24, 1), weight = random_floats(32, 2);
  filbert_weight* matrix = load(ops, FILBERT_MATRIX, weight.data(), FILBERT_F32, 4, 8);
  void* in = ops.alloc(24 * 4);
  void* out = ops.alloc(12 * 4);
  ops.upload(in, x.data(), 24 * 4);
  ops.token_ops({linear({in, matrix, nullptr, nullptr, FILBERT_IDENTITY, out, 0})}, 3);
  std::vector<float> staging;
  ops.read(out, 12, staging);
  ops.free(in);
  ops.free(out);
  ops.free_weight(matrix);
  return staging;
}

}  // namespace

TEST_CASE("backend: the description") {
  const auto ops = open(FILBERT_BF16);
  const filbert_device_description& found = ops->device();
  CHECK(std::string(found.name) == "CUDA on CPU");
  CHECK(std::string(found.isa) == "sm_86");
  CHECK(found.activation_bytes == 2);
  CHECK_FALSE(found.activations_on_host);
  CHECK(open()->device().activation_bytes == 4);
}

TEST_CASE("backend: why there is no device") {
  const Restore restore;
  CHECK_THROWS_WITH_AS(open(FILBERT_F32, 1), "cuda: there is no device cuda:1, the last one is cuda:0", DeviceError);
  CHECK_THROWS_WITH_AS(open(FILBERT_I8), "cuda: it does not compute in int8, only in float32, float16 and bfloat16",
                       DeviceError);
  CHECK_THROWS_AS(Ops(cuda::backend(), 0, -1, FILBERT_F32), InputError);
  machine().devices = 0;
  CHECK_THROWS_WITH_AS(open(), doctest::Contains("cuda: "), DeviceError);
  machine().driver = cudaErrorInsufficientDriver;
  CHECK_THROWS_WITH_AS(open(), "cuda: the NVIDIA driver is for CUDA 11.4, this plug-in needs 13.0", DeviceError);
}

TEST_CASE("backend: a look at a device opens nothing, and tells none from one with a fault") {
  const Restore restore;
  filbert_device_description found = {};
  const auto probe = [&](int index) { return cuda::backend()->probe(index, &found); };
  machine().calls_until_failure = 2;  // the count and the properties; a third call would fail
  CHECK(probe(0) == FILBERT_OK);
  CHECK(std::string(found.name) == "CUDA on CPU");
  CHECK(std::string(found.isa) == "sm_86");
  machine().calls_until_failure = 0;
  machine().failure = cudaErrorUnknown;
  CHECK(probe(0) == FILBERT_FAILED);
  machine().calls_until_failure = 1;
  CHECK(probe(0) == FILBERT_FAILED);
  machine().calls_until_failure = -1;
  CHECK(probe(1) == FILBERT_UNAVAILABLE);
  machine().devices = 0;
  CHECK(probe(0) == FILBERT_UNAVAILABLE);
  machine().driver = cudaErrorInsufficientDriver;  // there is one, and it is too old
  CHECK(probe(0) == FILBERT_FAILED);
}

TEST_CASE("backend: a thread has its device back, and the captures of others go on") {
  const Restore restore;
  machine().devices = 3;
  REQUIRE(cudaSetDevice(2) == cudaSuccess);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  const auto check_thread = [] {
    int device = 0;
    CHECK(cudaGetDevice(&device) == cudaSuccess);
    CHECK(device == 2);
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    CHECK(cudaThreadExchangeStreamCaptureMode(&mode) == cudaSuccess);
    CHECK(mode == cudaStreamCaptureModeGlobal);
  };
  {
    const auto ops = open(FILBERT_F32, 1);
    check_thread();
    CHECK(multiply(*ops).size() == 12);
    check_thread();
    filbert_recording* recording = ops->record([] {});
    ops->replay(recording);
    ops->free_recording(recording);
    check_thread();
  }
  check_thread();
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaSetDevice(0) == cudaSuccess);
}

TEST_CASE("backend: out of memory says how much, and a smaller request works") {
  const Restore restore;
  machine().memory = 64 << 20;
  const auto ops = open();
  try {
    ops->alloc(std::size_t{1} << 30);
    FAIL("it was given");
  } catch (const DeviceError& error) {
    CHECK(std::string(error.what()).find("out of device memory: 1073741824 bytes wanted, ") != std::string::npos);
    CHECK(std::string(error.what()).find(" of 67108864 are free") != std::string::npos);
  }
  Arena arena(*ops);
  CHECK_THROWS_AS(arena.activations(1 << 20, 1 << 10), DeviceError);
  arena.reset();
  CHECK(arena.activations(1 << 10, 1 << 10) != nullptr);
  CHECK(multiply(*ops).size() == 12);
}

TEST_CASE("backend: a failing call is an error, leaves nothing behind, and the next one works") {
  const Restore restore;
  const auto ops = open();
  const std::vector<float> expected = multiply(*ops);  // the staging of results stays
  const std::size_t before = device_bytes();
  const std::vector<float> weight(32, 1.0f);
  const filbert_host_tensor parts[] = {{weight.data(), FILBERT_F32, 2, 8}, {weight.data(), FILBERT_F32, 2, 8}};
  for (const filbert_weight_kind kind : {FILBERT_MATRIX, FILBERT_GATED_MATRIX}) {
    filbert_weight* loaded = nullptr;
    int calls = 0;
    for (; !loaded; ++calls) {
      machine().calls_until_failure = calls;
      machine().failure = cudaErrorIllegalAddress;
      try {
        loaded = ops->load_weight(kind, parts, 2);
      } catch (const DeviceError& error) {
        CHECK(std::string(error.what()).find("cuda: ") == 0);
      }
      machine().calls_until_failure = -1;
      CAPTURE(kind);
      CAPTURE(calls);
      if (!loaded) CHECK(device_bytes() == before);
      CHECK(same_bits(multiply(*ops), expected));
    }
    CHECK(calls > (kind == FILBERT_MATRIX ? 4 : 7));
    ops->free_weight(loaded);
    CHECK(device_bytes() == before);
  }
}

TEST_CASE("backend: a weight of every stored type, in parts") {
  const std::vector<double> numbers = {1, -2, 0.5, 3, 0.25, -8};
  const std::vector<float> singles(numbers.begin(), numbers.end());
  const std::uint16_t halves[] = {0x3c00, 0xc000, 0x3800, 0x4200, 0x3400, 0xc800};
  const std::uint16_t brains[] = {0x3f80, 0xc000, 0x3f00, 0x4040, 0x3e80, 0xc100};
  const void* sources[] = {numbers.data(), singles.data(), halves, brains};
  const filbert_dtype dtypes[] = {FILBERT_F64, FILBERT_F32, FILBERT_F16, FILBERT_BF16};
  const std::size_t sizes[] = {8, 4, 2, 2};
  for (const filbert_dtype dtype : {FILBERT_F32, FILBERT_F16, FILBERT_BF16}) {
    const auto ops = open(dtype);
    for (std::size_t i = 0; i < 4; ++i) {
      CAPTURE(dtype);
      CAPTURE(i);
      // [2, 2] and [1, 2], by the columns of the identity
      const auto* second = static_cast<const std::byte*>(sources[i]) + 4 * sizes[i];
      const filbert_host_tensor parts[] = {{sources[i], dtypes[i], 2, 2}, {second, dtypes[i], 1, 2}};
      filbert_weight* weight = ops->load_weight(FILBERT_MATRIX, parts, 2);
      filbert_weight* one = load(*ops, FILBERT_MATRIX, singles.data(), FILBERT_F32, 1, 1);
      // The activation [2, 2] that is the identity: of 16 bits the pairs (1, 0) and (0, 1).
      const float identity[] = {1, 0, 0, 1};
      const std::uint16_t half[] = {0x3c00, 0, 0, 0x3c00}, brain[] = {0x3f80, 0, 0, 0x3f80};
      void* x = ops->alloc(16);
      ops->upload(x,
                  dtype == FILBERT_F32   ? static_cast<const void*>(identity)
                  : dtype == FILBERT_F16 ? half
                                         : brain,
                  4 * ops->device().activation_bytes);
      void* y = ops->alloc(6 * 4);
      ops->token_ops({linear({x, weight, nullptr, nullptr, FILBERT_IDENTITY, y, 0})}, 2);
      std::vector<float> staging;
      ops->read(y, 6, staging);
      CHECK(staging == std::vector<float>{1, 0.5, 0.25, -2, 3, -8});
      ops->free(x);
      ops->free(y);
      ops->free_weight(weight);
      ops->free_weight(one);
    }
  }
}

TEST_CASE("backend: numbers up and back that are longer than a half of the staging") {
  const auto ops = open(FILBERT_BF16);
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20, (std::size_t{5} << 19) + 3}) {
    std::vector<std::uint16_t> bits(count);
    for (std::size_t i = 0; i < count; ++i) bits[i] = static_cast<std::uint16_t>(0x3f80 + i % 1000);
    void* x = ops->alloc(2 * count + 1);
    std::vector<std::uint16_t> sent = bits;
    ops->upload(x, sent.data(), 2 * count);
    std::fill(sent.begin(), sent.end(), std::uint16_t{0});
    std::vector<float> found;
    ops->read(x, count, found);
    REQUIRE(found.size() == count);
    bool right = true;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t word = static_cast<std::uint32_t>(bits[i]) << 16;
      right = right && std::memcmp(&word, &found[i], 4) == 0;
    }
    CHECK(right);
    ops->free(x);
  }
}

TEST_CASE("backend: mapped memory is the device's until a mark behind it is waited for") {
  for (const filbert_dtype dtype : {FILBERT_F32, FILBERT_BF16}) {
    const auto ops = open(dtype);
    const std::size_t bytes = 3 * ops->device().activation_bytes;
    const float one = 1, two = 2;  // the upper half of either is its bfloat16
    auto* in = static_cast<char*>(ops->alloc_mapped(bytes));
    auto* out = static_cast<float*>(ops->alloc_mapped(3 * sizeof(float)));
    void* x = ops->alloc(bytes);
    filbert_mark *first = nullptr, *second = nullptr;
    const auto fill = [&](float value) {
      const std::size_t size = ops->device().activation_bytes;
      for (int i = 0; i < 3; ++i)
        std::memcpy(in + static_cast<std::size_t>(i) * size, reinterpret_cast<const char*>(&value) + 4 - size, size);
    };
    fill(one);
    ops->fetch(x, in, bytes);
    fill(two);  // before it was fetched
    ops->give(out, x, 3);
    std::fill_n(out, 3, 0.0f);
    ops->mark(first);
    ops->give(out, x, 1);
    ops->mark(second);
    CHECK(out[0] == 0);
    ops->wait(first);
    for (int i = 0; i < 3; ++i) CHECK(out[i] == 2);
    out[0] = out[1] = 0;
    ops->wait(second);
    CHECK(out[0] == 2);
    CHECK(out[1] == 0);
    ops->give(out, x, 3);
    ops->mark(first);  // once more
    ops->wait(second);
    CHECK(out[1] == 0);
    ops->wait(first);
    CHECK(out[1] == 2);
    ops->give(out, x, 3);  // frees wait for it
    ops->free_mapped(out);
    ops->free_mapped(in);
    for (filbert_mark* mark : {first, second}) ops->free_mark(mark);
    ops->free(x);
  }
}

TEST_CASE("backend: a copy that fails is reported, and the next one works") {
  const Restore restore;
  const float values[] = {1, -2, 3};
  int failures = 0;
  for (int calls = 0, done = 0; !done; ++calls) {
    const auto ops = open();  // its first copies allocate
    void* x = ops->alloc(sizeof(values));
    auto* mapped = static_cast<float*>(ops->alloc_mapped(sizeof(values)));
    filbert_mark* mark = nullptr;
    machine().calls_until_failure = calls;
    std::vector<float> found;
    for (int attempt = 0; attempt < 2; ++attempt) try {
        ops->upload(x, values, sizeof(values));
        ops->read(x, 3, found);
        ops->give(mapped, x, 3);
        ops->mark(mark);
        ops->wait(mark);
        ops->fetch(x, mapped, sizeof(values));
        done = attempt == 0;
        break;
      } catch (const DeviceError& error) {
        CHECK(attempt == 0);
        CHECK(std::string(error.what()).find(": cudaErrorUnknown") != std::string::npos);
        ++failures;
      }
    machine().calls_until_failure = -1;
    CAPTURE(calls);
    CHECK(found == std::vector<float>{1, -2, 3});
    CHECK(std::equal(values, values + 3, mapped));
    ops->free(x);
    ops->free_mapped(mapped);
    ops->free_mark(mark);
  }
  CHECK(failures > 15);
}

TEST_CASE("backend: after a fork every op says so, whatever locks were held, and closing is harmless") {
  auto ops = open();
  const std::vector<float> expected = multiply(*ops);
  const std::vector<float> numbers(12, 1.0f);
  void* memory = ops->alloc(48);
  auto* mapped = static_cast<float*>(ops->alloc_mapped(48));
  filbert_mark* mark = nullptr;
  ops->mark(mark);
  filbert_weight* weight = load(*ops, FILBERT_MATRIX, numbers.data(), FILBERT_F32, 3, 4);
  const auto refused = [&](const auto& call) {
    try {
      call();
    } catch (const DeviceError& error) {
      return std::string(error.what()).find("cuda: CUDA does not survive a fork: load the model in") == 0;
    }
    return false;
  };
  int status = -1;
  filbert_recording* recording = ops->record([&] {  // holds the lock of the stream
    status = forked([&] {
      std::vector<float> staging;
      const bool right = refused([&] { ops->alloc(4); }) && refused([&] { ops->upload(memory, numbers.data(), 48); }) &&
                         refused([&] { ops->read(memory, 12, staging); }) && refused([&] { ops->sync(); }) &&
                         refused([&] { load(*ops, FILBERT_MATRIX, numbers.data(), FILBERT_F32, 3, 4); }) &&
                         refused([&] { ops->token_ops({}, 0); }) && refused([&] { ops->record([] {}); }) &&
                         refused([&] { ops->alloc_mapped(4); }) && refused([&] { ops->fetch(memory, mapped, 48); }) &&
                         refused([&] { ops->give(mapped, memory, 12); }) && refused([&] { ops->mark(mark); }) &&
                         refused([&] { ops->wait(mark); });
      ops->free(memory);
      ops->free_mapped(mapped);
      ops->free_mark(mark);
      ops->free_weight(weight);
      ops.reset();
      return right;
    });
  });
  CHECK(status == 0);
  ops->free_recording(recording);
  ops->free(memory);
  ops->free_mapped(mapped);
  ops->free_mark(mark);
  ops->free_weight(weight);
  CHECK(same_bits(multiply(*ops), expected));
}
