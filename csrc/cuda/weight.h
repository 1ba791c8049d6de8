// A weight in device memory.
#pragma once

#include "cuda/device.h"
#include "cuda/kernels.h"

struct filbert_weight {
  void* data = nullptr;  // a matrix in the type of the activations, anything else float32
  std::size_t rows = 0;  // gated: of each of the two
  std::size_t cols = 0;
  bool gated = false;  // a matrix whose rows are in the order of `interleave`; a gated vector is one after the other
};

namespace filbert::cuda {

// Null of null.
inline const float* floats_of(const filbert_weight* weight) {
  return weight ? static_cast<const float*>(weight->data) : nullptr;
}

// Joins the parts along their rows and converts them on the device; `matrices` are of that type. *out is the caller's
// to free, also after a failure.
filbert_status load_weight(const Device&, cudaStream_t, Type matrices, filbert_weight_kind,
                           const filbert_host_tensor* parts, std::size_t count, filbert_weight* out);

}  // namespace filbert::cuda
