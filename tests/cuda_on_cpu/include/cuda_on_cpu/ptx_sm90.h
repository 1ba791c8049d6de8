// The bodies of cuda/ptx_sm90.h on the CPU. A cluster has one block here.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

namespace filbert::cuda {

inline constexpr bool kIsSm90Code = true;

template <int N>
void sums_are_there(float (&)[N]) {}

using TensorMap = CUtensorMap;

struct Barrier {
  alignas(8) std::uint64_t state;
};

void barrier_init(Barrier* barrier, unsigned arrivals);
void barriers_are_made();
void barrier_expect(Barrier* barrier, unsigned bytes);
void barrier_arrive(Barrier* barrier);
void barrier_arrive_at(Barrier* barrier, unsigned rank);
void barrier_wait(Barrier* barrier, unsigned parity);

void copy_box(void* to, const TensorMap& map, int column, int row, Barrier* barrier);
void copy_box_to_all(void* to, const TensorMap& map, int column, int row, Barrier* barrier, std::uint16_t blocks);

inline unsigned cluster_rank() { return 0; }
void sync_cluster();

void group_arrive(int number, int threads);
void group_sync(int number, int threads);

namespace on_cpu {

void set_registers(unsigned count);
template <typename T>
void multiply_64(float* c, unsigned n, const void* x, const void* w);
void products_wait(unsigned pending);

}  // namespace on_cpu

template <int N>
void take_registers() {
  static_assert(N >= 24 && N <= 256 && N % 8 == 0);
  on_cpu::set_registers(N);
}
template <int N>
void leave_registers() {
  static_assert(N >= 24 && N <= 256 && N % 8 == 0);
  on_cpu::set_registers(N);
}

void products_begin();
void products_commit();
template <int N>
void products_wait() {
  on_cpu::products_wait(N);
}

struct Boxed {
  const std::byte* begin;

  explicit Boxed(const void* first) : begin(static_cast<const std::byte*>(first)) {}
  Boxed at(unsigned bytes, int i) const { return Boxed(begin + bytes + i * 32); }
};

template <typename T, int N>
void multiply_64(float (&c)[N / 2], Boxed x, Boxed w) {
  static_assert(N == 8 || N == 16 || N == 32 || N == 64 || N == 128 || N == 192 || N == 256);
  on_cpu::multiply_64<T>(c, N, x.begin, w.begin);
}

}  // namespace filbert::cuda
