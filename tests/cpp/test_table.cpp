// Opening the CPU's op table: what is refused, and in which words.
#include <doctest/doctest.h>

#include <sstream>
#include <thread>

#include "op_case.h"

using namespace filbert;
using namespace filbert::testing;

namespace {

// Sets an environment variable for as long as it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

filbert_status open_status(int device_index, int threads, filbert_dtype dtype) {
  filbert_context* context = nullptr;
  const filbert_status status = cpu::backend()->open(device_index, threads, dtype, &context);
  if (status == FILBERT_OK) cpu::backend()->close(context);
  return status;
}

Ops open_with(int threads, filbert_dtype dtype = FILBERT_F32) { return Ops(cpu::backend(), 0, threads, dtype); }

}  // namespace

TEST_CASE("table: what it computes in, and what it does not") {
  CHECK(cpu::backend()->abi == FILBERT_BACKEND_ABI);
  for (const filbert_dtype dtype : kComputeTypes) CHECK(open_status(0, 1, dtype) == FILBERT_OK);
  for (const filbert_dtype dtype : {FILBERT_F16, FILBERT_F64}) {
    CHECK(open_status(0, 1, dtype) == FILBERT_UNAVAILABLE);
    CHECK_THROWS_WITH_AS(open_with(1, dtype), doctest::Contains(", only in float32, bfloat16 and int8"), DeviceError);
  }
  CHECK(open_status(1, 1, FILBERT_F32) == FILBERT_UNAVAILABLE);
}

TEST_CASE("table: int8 refuses a sum that an int32 does not hold, float32 does not mind") {
  constexpr std::size_t kMost = 65536;
  const std::vector<float> row(kMost + 1, 1.0f);
  const Ops int8(cpu::backend(), 0, 1, FILBERT_I8);
  CHECK_NOTHROW(load(int8, FILBERT_MATRIX, row, 1, kMost));
  CHECK_THROWS_WITH_AS(load(int8, FILBERT_MATRIX, row, 1, kMost + 1),
                       "cpu: int8 sums at most 65536 products, not the 65537 of this layer", DeviceError);
  const Ops float32(cpu::backend(), 0, 1, FILBERT_F32);
  CHECK_NOTHROW(load(float32, FILBERT_MATRIX, row, 1, kMost + 1));
}

TEST_CASE("table: thread counts") {
  for (const int threads : {-1, 1025, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    CAPTURE(threads);
    CHECK(open_status(0, threads, FILBERT_F32) == FILBERT_INVALID_ARGUMENT);
    const std::string expected =
        "num_threads=" + std::to_string(threads) + ": expected 1 to 1024, or 0 for the default";
    CHECK_THROWS_WITH_AS(open_with(threads), expected.c_str(), InputError);
  }
  CHECK(open_with(0).device().threads >= 1);
  for (const char* bad : {"two", "0", "-1", "1025", "2 ", "99999999999999999999"}) {
    const Environment variable("FILBERT_NUM_THREADS", bad);
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(open_with(0), (std::string("FILBERT_NUM_THREADS=") + bad + ": expected 1 to 1024").c_str(),
                         InputError);
    CHECK(open_with(2).device().threads == 2);
  }
  const Environment three("FILBERT_NUM_THREADS", "3");
  CHECK(open_with(0).device().threads == 3);
}

TEST_CASE("table: more threads than cores compute the same") {
  const LinearData data(100, 140, 70);
  const int threads = static_cast<int>(std::thread::hardware_concurrency()) + 13;
  for (const filbert_dtype dtype : kComputeTypes) {
    const Ops one = open_with(1, dtype), many = open_with(threads, dtype);
    CHECK(many.device().threads == threads);
    CHECK(same_bits(LinearLayer(many, data).run(100), LinearLayer(one, data).run(100)));
    CHECK(same_bits(LinearLayer(many, data).run(1), LinearLayer(one, data).run(1)));
  }
}

TEST_CASE("table: a forced instruction set that is not there is refused with the list") {
  const ForcedIsa forced("avx1024");
  std::string listed;
  for (const std::string& isa : isas()) listed += (listed.empty() ? "" : ", ") + isa;
  const std::string expected = "cpu: FILBERT_CPU_ISA=avx1024 is not available on this processor; it has: " + listed;
  CHECK_THROWS_WITH_AS(open_with(1), expected.c_str(), DeviceError);
}

TEST_CASE("table: the description") {
  std::string listed;
  for (const std::string& isa : isas()) listed += (listed.empty() ? "" : ",") + isa;
  for (const cpu::Kernels& kernels : cpu::available_kernels())
    for (const filbert_dtype dtype : kComputeTypes) {
      const filbert_device_description found = open_isa(kernels.isa, dtype, 1)->device();
      CHECK(std::string(found.isa) == kernels.isa);
      CHECK(std::string(found.isas) == listed);
      CHECK(std::string(found.name) == cpu::processor_name());
      const bool widened = dtype == FILBERT_BF16 && !kernels.multiplies_bf16;
      const bool in_parts = dtype == FILBERT_F32 && std::string(kernels.isa) == "amx";
      CHECK(std::string(found.note) ==
            (widened    ? "bfloat16 is widened to float32, which this processor multiplies faster"
             : in_parts ? "float32 products are made of six of bfloat16 parts, as precise as multiply-adds"
                        : ""));
    }
}

TEST_CASE("table: every instruction set has a run of its own in CMakeLists.txt") {
  std::istringstream names(FILBERT_TESTED_ISAS);
  std::vector<std::string> tested;
  for (std::string name; std::getline(names, name, ',');) tested.push_back(name);
  for (const std::string& isa : isas()) CHECK(std::count(tested.begin(), tested.end(), isa) == 1);
}
