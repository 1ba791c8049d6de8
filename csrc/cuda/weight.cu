#include "cuda/weight.h"

#include <algorithm>

namespace filbert::cuda {
namespace {

// One upload: the mapped file is read in pieces, so that loading needs little more than the weights themselves.
constexpr std::size_t kPieceBytes = std::size_t{32} << 20;

constexpr std::size_t size_of(filbert_dtype dtype) { return dtype == FILBERT_F64 ? 8 : dtype == FILBERT_F32 ? 4 : 2; }

// Device memory for as long as it lives.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() {
    if (data) cudaFree(data);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data = nullptr;
};

filbert_status upload(const filbert_host_tensor& part, cudaStream_t stream, void* piece, Type type, std::byte* to) {
  const std::size_t bytes = size_of(part.dtype);
  const std::size_t numbers = part.rows * part.cols;
  for (std::size_t begin = 0; begin < numbers; begin += kPieceBytes / bytes) {
    const std::size_t count = std::min(kPieceBytes / bytes, numbers - begin);
    cudaError_t error = cudaMemcpyAsync(piece, static_cast<const std::byte*>(part.data) + begin * bytes, count * bytes,
                                        cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess) error = convert(part.dtype, piece, count, type, to + begin * size_of(type), stream);
    if (error != cudaSuccess) return check(error, "loading a weight");
  }
  return FILBERT_OK;
}

}  // namespace

filbert_status load_weight(const Device& device, cudaStream_t stream, Type type, const filbert_host_tensor* parts,
                           std::size_t count, filbert_weight* out) {
  out->cols = parts[0].cols;
  std::size_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    out->rows += parts[i].rows;
    largest = std::max(largest, parts[i].rows * parts[i].cols * size_of(parts[i].dtype));
  }
  Buffer piece;
  filbert_status status = device.alloc(std::min(largest, kPieceBytes), &piece.data);
  if (status == FILBERT_OK) status = device.alloc(out->rows * out->cols * size_of(type), &out->data);
  auto* to = static_cast<std::byte*>(out->data);
  for (std::size_t i = 0; i < count && status == FILBERT_OK; ++i) {
    status = upload(parts[i], stream, piece.data, type, to);
    to += parts[i].rows * parts[i].cols * size_of(type);
  }
  const filbert_status done = check(cudaStreamSynchronize(stream), "loading a weight");  // before the piece is freed
  return status == FILBERT_OK ? done : status;
}

}  // namespace filbert::cuda
