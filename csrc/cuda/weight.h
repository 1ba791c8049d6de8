// A weight in device memory.
#pragma once

#include "cuda/device.h"
#include "cuda/kernels.h"

struct filbert_weight {
  void* data = nullptr;  // a matrix in the type of the activations, anything else float32
  std::size_t rows = 0;
  std::size_t cols = 0;
};

namespace filbert::cuda {

// Joins the parts along their rows and converts them on the device. *out is the caller's to free, also after a failure.
filbert_status load_weight(const Device&, cudaStream_t, Type, const filbert_host_tensor* parts, std::size_t count,
                           filbert_weight* out);

}  // namespace filbert::cuda
