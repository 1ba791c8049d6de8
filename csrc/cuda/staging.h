// Pinned memory between the caller's and the device's, which the device copies from and to while threads go on. Each
// way has several pieces: one is filled while another is emptied.
#pragma once

#include <mutex>

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace filbert::cuda {

// The one stream of a context, and the lock of who puts work on it.
struct SharedStream {
  const Device& device;
  cudaStream_t stream;
  std::recursive_mutex& mutex;
};

// Pinned memory that one copy at a time uses.
class PinnedPiece {
 public:
  PinnedPiece() = default;
  ~PinnedPiece();
  PinnedPiece(const PinnedPiece&) = delete;
  PinnedPiece& operator=(const PinnedPiece&) = delete;

  // Allocates at the first call.
  filbert_status prepare(std::size_t bytes);
  // Put on the stream, in this order.
  cudaError_t copy_to(void* device, std::size_t bytes, cudaStream_t);
  cudaError_t copy_from(const void* device, std::size_t bytes, cudaStream_t);
  // Until the last copy is done. Reports what went wrong before it, while `doing` something.
  filbert_status wait(const char* doing) const;

  void* data() const { return memory_; }

 private:
  void* memory_ = nullptr;
  cudaEvent_t copied_ = nullptr;
};

// Numbers on their way to the device.
class Uploads {
 public:
  // From memory that the caller may reuse at once. Callers take turns.
  filbert_status write(const SharedStream&, const void* host, std::size_t bytes, void* device);

 private:
  std::mutex mutex_;
  static constexpr std::size_t kPieces = 8;

  PinnedPiece pieces_[kPieces];
  std::size_t turn_ = 0;
};

// Activations on their way back, as float32.
class Downloads {
 public:
  Downloads() = default;
  ~Downloads();
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;

  // Callers take turns.
  filbert_status read(const SharedStream&, Type, const void* activation, std::size_t count, float* host);

 private:
  struct Half {
    void* floats = nullptr;  // on the device
    PinnedPiece pinned;
  };

  filbert_status prepare(const Device&);
  filbert_status start(Half&, const SharedStream&, Type, const void* activation, std::size_t count);

  std::mutex mutex_;
  Half halves_[2];
};

// Destroyed with the device current, and only by the process that opened it.
struct Staging {
  Uploads uploads;
  Downloads downloads;
};

}  // namespace filbert::cuda
