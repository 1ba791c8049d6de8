#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace filbert::cuda {
namespace {

constexpr std::size_t kUploadBytes = std::size_t{1} << 18;      // the ids of 65,536 tokens; few, so that halves overlap
constexpr std::size_t kDownloadNumbers = std::size_t{1} << 20;  // 4 MB, a tenth of a millisecond of PCIe

}  // namespace

PinnedPiece::~PinnedPiece() {
  if (memory_) cudaFreeHost(memory_);
  if (copied_) cudaEventDestroy(copied_);
}

filbert_status PinnedPiece::prepare(std::size_t bytes) {
  filbert_status status = FILBERT_OK;
  if (!memory_) status = check(cudaMallocHost(&memory_, bytes), "allocating pinned memory");
  if (status == FILBERT_OK && !copied_)
    status = check(cudaEventCreateWithFlags(&copied_, cudaEventDisableTiming), "creating an event");
  return status;
}

cudaError_t PinnedPiece::copy_to(void* device, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t error = cudaMemcpyAsync(device, memory_, bytes, cudaMemcpyHostToDevice, stream);
  return error == cudaSuccess ? cudaEventRecord(copied_, stream) : error;
}

cudaError_t PinnedPiece::copy_from(const void* device, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t error = cudaMemcpyAsync(memory_, device, bytes, cudaMemcpyDeviceToHost, stream);
  return error == cudaSuccess ? cudaEventRecord(copied_, stream) : error;
}

filbert_status PinnedPiece::wait(const char* doing) const { return check(cudaEventSynchronize(copied_), doing); }

filbert_status Uploads::write(const SharedStream& to, const void* host, std::size_t bytes, void* device) {
  const std::lock_guard lock(mutex_);
  for (std::size_t begin = 0; begin < bytes; begin += kUploadBytes) {
    const std::size_t size = std::min(kUploadBytes, bytes - begin);
    PinnedPiece& piece = pieces_[turn_++ % kPieces];
    filbert_status status = piece.prepare(kUploadBytes);
    if (status == FILBERT_OK) status = piece.wait("uploading");
    if (status != FILBERT_OK) return status;
    std::memcpy(piece.data(), static_cast<const std::byte*>(host) + begin, size);
    const std::lock_guard stream_lock(to.mutex);
    status = check(piece.copy_to(static_cast<std::byte*>(device) + begin, size, to.stream), "uploading");
    if (status != FILBERT_OK) return status;
  }
  return FILBERT_OK;
}

Downloads::~Downloads() {
  for (const Half& half : halves_)
    if (half.floats) cudaFree(half.floats);
}

filbert_status Downloads::prepare(const Device& device) {
  for (Half& half : halves_) {
    filbert_status status = FILBERT_OK;
    if (!half.floats) status = device.alloc(kDownloadNumbers * sizeof(float), &half.floats);
    if (status == FILBERT_OK) status = half.pinned.prepare(kDownloadNumbers * sizeof(float));
    if (status != FILBERT_OK) return status;
  }
  return FILBERT_OK;
}

filbert_status Downloads::start(Half& half, const SharedStream& from, Type type, const void* activation,
                                std::size_t count) {
  const std::lock_guard lock(from.mutex);
  cudaError_t error = convert(dtype_of(type), activation, count, Type::f32, half.floats, from.stream);
  if (error == cudaSuccess) error = half.pinned.copy_from(half.floats, count * sizeof(float), from.stream);
  return check(error, "reading activations");
}

filbert_status Downloads::read(const SharedStream& from, Type type, const void* activation, std::size_t count,
                               float* host) {
  const std::lock_guard lock(mutex_);
  filbert_status status = prepare(from.device);
  const std::size_t parts = (count + kDownloadNumbers - 1) / kDownloadNumbers;
  for (std::size_t part = 0; part <= parts && status == FILBERT_OK; ++part) {
    const auto begin_of = [&](std::size_t i) { return i * kDownloadNumbers; };
    const auto size_of_part = [&](std::size_t i) { return std::min(kDownloadNumbers, count - begin_of(i)); };
    if (part < parts)
      status = start(halves_[part % 2], from, type,
                     static_cast<const std::byte*>(activation) + begin_of(part) * size_of(type), size_of_part(part));
    if (part == 0 || status != FILBERT_OK) continue;
    const PinnedPiece& last = halves_[(part - 1) % 2].pinned;
    status = last.wait("reading activations");
    if (status == FILBERT_OK)
      std::memcpy(host + begin_of(part - 1), last.data(), size_of_part(part - 1) * sizeof(float));
  }
  return status;
}

}  // namespace filbert::cuda
