// Mixtures of experts: filbert_experts_args on a device. Pointers to weights are host memory.
#pragma once

#include "cuda/kernels.h"

namespace filbert::cuda {

std::size_t experts_memory(Type, const filbert_experts_args&);
cudaError_t experts(Type, const filbert_experts_args&, const Chip&, cudaStream_t);

}  // namespace filbert::cuda
