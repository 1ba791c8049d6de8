#include "cuda/readback.h"

#include <algorithm>
#include <cstring>

namespace filbert::cuda {
namespace {

constexpr std::size_t kNumbers = std::size_t{1} << 20;  // of a half: 4 MB, a tenth of a millisecond of PCIe

}  // namespace

Readback::~Readback() {
  for (const Half& half : halves_) {
    if (half.device) cudaFree(half.device);
    if (half.pinned) cudaFreeHost(half.pinned);
    if (half.copied) cudaEventDestroy(half.copied);
  }
}

filbert_status Readback::prepare(const Device& device) {
  filbert_status status = FILBERT_OK;
  for (Half& half : halves_) {
    void* memory = half.device;
    if (!half.device && (status = device.alloc(kNumbers * sizeof(float), &memory)) != FILBERT_OK) return status;
    half.device = static_cast<float*>(memory);
    memory = half.pinned;
    if (!half.pinned &&
        (status = check(cudaMallocHost(&memory, kNumbers * sizeof(float)), "allocating pinned memory")) != FILBERT_OK)
      return status;
    half.pinned = static_cast<float*>(memory);
    if (!half.copied && (status = check(cudaEventCreateWithFlags(&half.copied, cudaEventDisableTiming),
                                        "creating an event")) != FILBERT_OK)
      return status;
  }
  return FILBERT_OK;
}

filbert_status Readback::start(const Half& half, const SharedStream& from, Type type, const void* activation,
                               std::size_t count) {
  const std::lock_guard lock(from.mutex);
  cudaError_t error = convert(dtype_of(type), activation, count, Type::f32, half.device, from.stream);
  if (error == cudaSuccess)
    error = cudaMemcpyAsync(half.pinned, half.device, count * sizeof(float), cudaMemcpyDeviceToHost, from.stream);
  if (error == cudaSuccess) error = cudaEventRecord(half.copied, from.stream);
  return check(error, "reading activations");
}

filbert_status Readback::read(const SharedStream& from, Type type, const void* activation, std::size_t count,
                              float* host) {
  const std::lock_guard lock(mutex_);
  filbert_status status = prepare(from.device);
  const std::size_t parts = (count + kNumbers - 1) / kNumbers;
  for (std::size_t part = 0; part <= parts && status == FILBERT_OK; ++part) {
    const auto begin_of = [&](std::size_t i) { return i * kNumbers; };
    const auto size_of_part = [&](std::size_t i) { return std::min(kNumbers, count - begin_of(i)); };
    if (part < parts)
      status = start(halves_[part % 2], from, type,
                     static_cast<const std::byte*>(activation) + begin_of(part) * size_of(type), size_of_part(part));
    if (part == 0 || status != FILBERT_OK) continue;
    const Half& last = halves_[(part - 1) % 2];
    status = check(cudaEventSynchronize(last.copied), "reading activations");
    if (status == FILBERT_OK)
      std::memcpy(host + begin_of(part - 1), last.pinned, size_of_part(part - 1) * sizeof(float));
  }
  return status;
}

}  // namespace filbert::cuda
