// The host bodies of cuda/ptx.h against what the PTX manual says.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda_on_cpu/machine.h"
#include "device_array.h"

using namespace filbert::cuda;
using namespace filbert::testing;

TEST_CASE("ptx: float16 and bfloat16 of every 16-bit pattern come back as they were") {
  for (unsigned bits = 0; bits <= 0xffff; ++bits) {
    const float f16 = to_float(F16{static_cast<std::uint16_t>(bits)});
    const float bf16 = to_float(Bf16{static_cast<std::uint16_t>(bits)});
    if (std::isnan(f16))
      CHECK(std::isnan(to_float(from_float<F16>(f16))));
    else
      CHECK(from_float<F16>(f16).bits == bits);
    if (std::isnan(bf16))
      CHECK(std::isnan(to_float(from_float<Bf16>(bf16))));
    else
      CHECK(from_float<Bf16>(bf16).bits == bits);
  }
}

// Half way between neighbours goes to the even one, a little more or less to the nearer one.
template <typename T>
void check_rounding(std::uint16_t last) {
  for (unsigned bits = 0; bits < last; ++bits) {
    const double low = to_float(T{static_cast<std::uint16_t>(bits)});
    const double high = to_float(T{static_cast<std::uint16_t>(bits + 1)});
    const auto middle = static_cast<float>((low + high) / 2);
    CHECK(from_float<T>(middle).bits == bits + bits % 2);
    CHECK(from_float<T>(std::nextafter(middle, 0.0f)).bits == bits);
    CHECK(from_float<T>(std::nextafter(middle, INFINITY)).bits == bits + 1);
    CHECK(from_float<T>(-middle).bits == (0x8000u | (bits + bits % 2)));
  }
}

TEST_CASE("ptx: rounding is to nearest, ties to even, in subnormals too") {
  check_rounding<F16>(0x7bff);
  check_rounding<Bf16>(0x7f7f);
  CHECK(from_float<F16>(65519.996f).bits == 0x7bff);
  CHECK(from_float<F16>(65520.0f).bits == 0x7c00);
  CHECK(from_float<F16>(-INFINITY).bits == 0xfc00);
  CHECK(from_float<Bf16>(std::numeric_limits<float>::max()).bits == 0x7f80);
}

TEST_CASE("ptx: the low half of a pair is the first number") {
  float low = 0, high = 0;
  CHECK(pack2<Bf16>(1.0f, -2.0f) == 0xc0003f80u);
  CHECK(pack2<F16>(1.0f, -2.0f) == 0xc0003c00u);
  unpack2<F16>(0xc0003c00u, low, high);
  CHECK(low == 1.0f);
  CHECK(high == -2.0f);
}

namespace {

unsigned lane() { return threadIdx.x % 32; }

void shuffles(float* out) {
  const auto mine = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = shuffle_xor(mine, 5);
  out[64 + threadIdx.x] = shuffle_down(mine, 20);
  out[128 + threadIdx.x] = shuffle(mine, 3);
}

// Through shared memory with rows of 24 numbers; b is [8, 16], as weights are, or [16, 8].
template <typename T>
void multiply(const T* a, const T* b, float* c, bool transposed) {
  constexpr unsigned kStride = 24;
  T* shared_a = reinterpret_cast<T*>(shared_memory());
  T* shared_b = shared_a + 16 * kStride;
  for (unsigned i = lane(); i < 256; i += 32) shared_a[i / 16 * kStride + i % 16] = a[i];
  const unsigned width = transposed ? 8 : 16;
  for (unsigned i = lane(); i < 128; i += 32) shared_b[i / width * kStride + i % width] = b[i];
  sync_warp();
  std::uint32_t x[4], y[2];
  ldmatrix_x4(x, shared_a + lane() % 16 * kStride + lane() / 16 * 8);
  if (transposed)
    ldmatrix_x2_trans(y, shared_b + lane() % 16 * kStride);
  else
    ldmatrix_x2(y, shared_b + lane() % 8 * kStride + lane() / 8 % 2 * 8);
  float sums[4] = {1, 1, 1, 1};
  mma_16x8x16<T>(sums, x, y);
  for (unsigned i = 0; i < 4; ++i) c[(lane() / 4 + i / 2 * 8) * 8 + lane() % 4 * 2 + i % 2] = sums[i];
}

// The four parts of a 16x16 matrix, as ldmatrix_x4_trans hands them out.
void transpose(const F16* a, F16* out) {
  F16* shared = reinterpret_cast<F16*>(shared_memory());
  for (unsigned i = lane(); i < 256; i += 32) shared[i] = a[i];
  sync_warp();
  std::uint32_t parts[4];
  ldmatrix_x4_trans(parts, shared + lane() % 16 * 16 + lane() / 16 * 8);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane() / 4 + i / 2 * 8, column = lane() % 4 * 2 + i % 2 * 8;
    out[row * 16 + column].bits = static_cast<std::uint16_t>(parts[i]);
    out[row * 16 + column + 1].bits = static_cast<std::uint16_t>(parts[i] >> 16);
  }
}

template <typename T>
std::vector<T> random_numbers(std::size_t count) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  std::vector<T> values(count);
  for (T& value : values) value = from_float<T>(normal(generator));
  return values;
}

template <typename T>
void check_multiply(bool transposed) {
  const std::vector<T> a = random_numbers<T>(256), b = random_numbers<T>(128);
  const DeviceArray<T> device_a(a), device_b(b);
  DeviceArray<float> device_c(128);
  REQUIRE(launch(multiply<T>, dim3(1), dim3(32), 2048, nullptr, device_a.data(), device_b.data(), device_c.data(),
                 transposed) == cudaSuccess);
  const std::vector<float> c = device_c.host();
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned column = 0; column < 8; ++column) {
      double sum = 1, magnitude = 1;
      for (unsigned k = 0; k < 16; ++k) {
        const double product =
            static_cast<double>(to_float(a[row * 16 + k])) * to_float(b[transposed ? k * 8 + column : column * 16 + k]);
        sum += product;
        magnitude += std::abs(product);
      }
      CHECK(std::abs(c[row * 8 + column] - sum) <= 16 * 0x1p-24 * magnitude);
    }
}

}  // namespace

TEST_CASE("ptx: shuffles") {
  DeviceArray<float> out(192);
  REQUIRE(launch(shuffles, dim3(1), dim3(64), 0, nullptr, out.data()) == cudaSuccess);
  const std::vector<float> got = out.host();
  for (unsigned i = 0; i < 64; ++i) {
    CHECK(got[i] == static_cast<float>(i ^ 5));
    CHECK(got[64 + i] == static_cast<float>(i % 32 < 12 ? i + 20 : i));
    CHECK(got[128 + i] == static_cast<float>(i / 32 * 32 + 3));
  }
}

TEST_CASE("ptx: ldmatrix and mma multiply matrices") {
  for (const bool transposed : {false, true}) {
    check_multiply<Bf16>(transposed);
    check_multiply<F16>(transposed);
  }
}

TEST_CASE("ptx: ldmatrix transposes") {
  std::vector<F16> a(256);
  for (unsigned i = 0; i < 256; ++i) a[i].bits = static_cast<std::uint16_t>(i);
  const DeviceArray<F16> device_a(a);
  DeviceArray<F16> out(256);
  REQUIRE(launch(transpose, dim3(1), dim3(32), 512, nullptr, device_a.data(), out.data()) == cudaSuccess);
  const std::vector<F16> got = out.host();
  for (unsigned i = 0; i < 256; ++i) CHECK(got[i].bits == i % 16 * 16 + i / 16);
}
