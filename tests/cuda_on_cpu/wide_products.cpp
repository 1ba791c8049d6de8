// Operands are read at some moment between the call and the wait for its group: a stage that is filled again too soon
// spoils the sums. These go to the threads at the wait.
#include "wide_products.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "block.h"
#include "cuda/ptx_sm90.h"

namespace filbert::cuda_on_cpu {

bool FourWarps::has_sums_of(unsigned thread) const {
  return std::any_of(sums.begin(), sums.end(), [&](const WideSums& one) { return !one.taken[thread]; });
}

namespace {

constexpr std::uint32_t kUnfinished = 0xffbfffffu;  // a NaN that becomes another one in arithmetic

std::string place_of_product(const Parked& parked) {
  return "at multiply_64, where " + std::to_string(static_cast<const FourWarps*>(parked.at)->came) +
         " of 128 threads have come";
}
std::string place_of_wait(const Parked&) { return "at products_wait"; }

// In boxes: rows 128 bytes apart, the 16-byte words of each exchanged by three bits of the address.
void check_operand(const void* begin, unsigned rows) {
  const std::uintptr_t inside = reinterpret_cast<std::uintptr_t>(begin) % 1024;
  if (inside > 96 || inside % 32 != 0) block().fail("multiply_64: an operand begins elsewhere than a box does");
  block().check_shared("multiply_64", static_cast<const std::byte*>(begin) - inside, std::size_t{rows} * 128, 1024);
}

template <typename T>
void load(const void* begin, unsigned row, float (&numbers)[16]) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin) + row * 128;
  T stored[16];
  for (unsigned word = 0; word < 2; ++word) {
    const std::uintptr_t at = address + word * 16;
    std::memcpy(stored + word * 8, reinterpret_cast<const void*>(at ^ (at >> 7 & 7) << 4), 16);
  }
  for (unsigned i = 0; i < 16; ++i) numbers[i] = cuda::to_float(stored[i]);
}

// Terms in the order of mma: along k.
template <typename T>
void multiply(const WideProduct& product, float* c) {
  float x[64][16];
  for (unsigned row = 0; row < 64; ++row) load<T>(product.x, row, x[row]);
  for (unsigned begin = 0; begin < product.n; begin += 8) {
    float w[16][8], columns[8][16];
    for (unsigned column = 0; column < 8; ++column) load<T>(product.w, begin + column, columns[column]);
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned column = 0; column < 8; ++column) w[k][column] = columns[column][k];
    for (unsigned row = 0; row < 64; ++row) {
      float sums[8];
      float* const out = c + std::size_t{row} * product.n + begin;
      std::copy_n(out, 8, sums);
      for (unsigned k = 0; k < 16; ++k)
        for (unsigned column = 0; column < 8; ++column) sums[column] += x[row][k] * w[k][column];
      std::copy_n(sums, 8, out);
    }
  }
}

// Where in c [64, n] number i of a thread lies.
std::size_t place_of(unsigned thread, unsigned i, unsigned n) {
  const unsigned warp = thread / kWarp, lane = thread % kWarp;
  return std::size_t{warp * 16 + lane / 4 + i / 2 % 2 * 8} * n + i / 4 * 8 + lane % 4 * 2 + i % 2;
}

WideSums& fresh_sums(FourWarps& four, unsigned n) {
  for (const auto& thread : four.threads)
    if (!thread.fenced) block().fail("multiply_64: sums that registers have touched, without products_begin");
  WideSums& sums = four.sums.emplace_back();
  sums.n = n;
  sums.values.resize(std::size_t{64} * n);
  for (unsigned thread = 0; thread < kFourWarps; ++thread) {
    float* const mine = sums.threads[thread] = four.arrays[thread];
    for (unsigned i = 0; i < n / 2; ++i) sums.values[place_of(thread, i, n)] = mine[i];
    std::fill_n(mine, n / 2, std::bit_cast<float>(kUnfinished));
  }
  return sums;
}

void check_untouched(const float* mine, unsigned n) {
  for (unsigned i = 0; i < n / 2; ++i)
    if (std::bit_cast<std::uint32_t>(mine[i]) != kUnfinished) block().fail("sums were touched before products_wait");
}

void check_continued(const FourWarps& four, const WideSums& sums, unsigned n) {
  if (sums.n != n || !std::equal(four.arrays, four.arrays + kFourWarps, sums.threads))
    block().fail("multiply_64: sums of another product that is not finished");
  if (sums.taken.any()) block().fail("multiply_64: sums that not all threads have waited for");
  for (const float* mine : sums.threads) check_untouched(mine, n);
}

void begin(FourWarps& four) {
  const WideProduct product = four.product;
  check_operand(product.x, 64);
  check_operand(product.w, product.n);
  const auto found = std::find_if(four.sums.begin(), four.sums.end(),
                                  [&](const WideSums& one) { return one.threads[0] == four.arrays[0]; });
  if (found != four.sums.end()) check_continued(four, *found, product.n);
  WideSums& sums = found != four.sums.end() ? *found : fresh_sums(four, product.n);
  sums.last = ++four.begun;
  const unsigned queue = 1 + block().number() / kFourWarps;
  block().later({queue, [&four, &sums, product] {
                   product.multiply(product, sums.values.data());
                   ++four.done;
                   block().wake(&four.done, four.done);
                 }});
}

}  // namespace
}  // namespace filbert::cuda_on_cpu

namespace filbert::cuda {

using namespace cuda_on_cpu;

void products_begin() { block().four_warps().threads[block().number() % kFourWarps].fenced = true; }

void products_commit() {
  FourWarps& four = block().four_warps();
  four.threads[block().number() % kFourWarps].groups.push_back(four.begun);
}

namespace on_cpu {

template <typename T>
void multiply_64(float* c, unsigned n, const void* x, const void* w) {
  if (block().number() / kFourWarps == block().count() / kFourWarps)
    block().fail("multiply_64: in a warp that is not one of four");
  FourWarps& four = block().four_warps();
  const WideProduct product = {x, w, n, multiply<T>};
  if (four.came == 0)
    four.product = product;
  else if (four.product != product)
    block().fail("a thread came to multiply_64 with other operands than others of its four warps");
  four.arrays[block().number() % kFourWarps] = c;
  if (++four.came == kFourWarps) {
    begin(four);
    four.came = 0;
    block().wake(&four);
  } else {
    const std::uint64_t before = four.begun;
    while (four.begun == before) block().park({&four, 0, place_of_product});
  }
}
template void multiply_64<Bf16>(float*, unsigned, const void*, const void*);
template void multiply_64<F16>(float*, unsigned, const void*, const void*);

void products_wait(unsigned pending) {
  FourWarps& four = block().four_warps();
  const unsigned me = block().number() % kFourWarps;
  auto& mine = four.threads[me];
  std::uint64_t until = 0;
  for (; mine.groups.size() > pending; mine.groups.pop_front()) until = mine.groups.front();
  while (four.done < until) block().park({&four.done, until, place_of_wait});
  for (auto sums = four.sums.begin(); sums != four.sums.end();) {
    if (sums->last <= until && !sums->taken[me]) {
      check_untouched(sums->threads[me], sums->n);
      for (unsigned i = 0; i < sums->n / 2; ++i) sums->threads[me][i] = sums->values[place_of(me, i, sums->n)];
      sums->taken.set(me);
      mine.fenced = false;
    }
    sums = sums->taken.all() ? four.sums.erase(sums) : std::next(sums);
  }
}

}  // namespace on_cpu
}  // namespace filbert::cuda
