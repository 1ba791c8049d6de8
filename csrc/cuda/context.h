// What one opened device is to the op table, and how its functions run: with the device current, and one at a time on
// the stream.
#pragma once

#include <memory>
#include <mutex>
#include <new>

#include "cuda/kernels.h"
#include "cuda/staging.h"

struct filbert_context {
  filbert::cuda::Device device;
  filbert::cuda::Type type;
  bool is_sm90 = false;
  cudaStream_t stream = nullptr;
  std::recursive_mutex mutex;  // of who puts work on the stream; held while a recording is made
  std::unique_ptr<filbert::cuda::Staging> staging;

  filbert::cuda::SharedStream shared_stream() { return {device, stream, mutex}; }
};

namespace filbert::cuda {

inline constexpr char kRunning[] = "running the model";

// Runs body with the device current. Exceptions stop here: only status codes cross the table.
template <typename Body>
filbert_status on_device(const filbert_context& context, const Body& body) {
  const Current current(context.device);
  if (current.status() != FILBERT_OK) return current.status();
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return FILBERT_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    return fail(FILBERT_FAILED, error.what());
  }
}

// Runs body as the one who puts work on the stream.
template <typename Body>
filbert_status on_stream(filbert_context& context, const Body& body) {
  return on_device(context, [&] {
    const std::lock_guard lock(context.mutex);
    return body();
  });
}
template <typename Body>
filbert_status on_stream(filbert_context& context, const char* doing, const Body& body) {
  return on_stream(context, [&] { return check(body(), doing); });
}

}  // namespace filbert::cuda
