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

// The parts, joined, in new memory.
filbert_status join(const Device& device, cudaStream_t stream, Type type, const filbert_host_tensor* parts,
                    std::size_t count, void** out) {
  std::size_t numbers = 0, largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    numbers += parts[i].rows * parts[i].cols;
    largest = std::max(largest, parts[i].rows * parts[i].cols * size_of(parts[i].dtype));
  }
  Buffer piece;
  filbert_status status = device.alloc(std::min(largest, kPieceBytes), &piece.data);
  if (status == FILBERT_OK) status = device.alloc(numbers * size_of(type), out);
  auto* to = static_cast<std::byte*>(*out);
  for (std::size_t i = 0; i < count && status == FILBERT_OK; ++i) {
    status = upload(parts[i], stream, piece.data, type, to);
    to += parts[i].rows * parts[i].cols * size_of(type);
  }
  const filbert_status done =
      check(cudaStreamSynchronize(stream),
            "loading a weight");  // before the piece is freed, and for kernels that read weights early
  return status == FILBERT_OK ? done : status;
}

}  // namespace

filbert_status load_weight(const Device& device, cudaStream_t stream, Type matrices, filbert_weight_kind kind,
                           const filbert_host_tensor* parts, std::size_t count, filbert_weight* out) {
  const bool is_matrix = kind == FILBERT_MATRIX || kind == FILBERT_GATED_MATRIX;
  const Type type = is_matrix ? matrices : Type::f32;
  out->cols = parts[0].cols;
  out->gated = kind == FILBERT_GATED_MATRIX;
  for (std::size_t i = 0; i < count; ++i) out->rows += parts[i].rows;
  if (!out->gated) return join(device, stream, type, parts, count, &out->data);

  out->rows /= 2;
  Buffer both;
  filbert_status status = join(device, stream, type, parts, count, &both.data);
  if (status == FILBERT_OK) status = device.alloc(gated_rows(type, out->rows) * out->cols * size_of(type), &out->data);
  if (status != FILBERT_OK) return status;
  cudaError_t error = interleave(type, {both.data, out->rows, out->cols, out->data}, stream);
  if (error == cudaSuccess) error = cudaStreamSynchronize(stream);  // before what it reads is freed
  return check(error, "loading a weight");
}

}  // namespace filbert::cuda
