#pragma once

#include "filbert/backend.h"

namespace filbert::cuda {

// The op table of CUDA devices, as the plug-in gives it.
const filbert_backend* backend();

}  // namespace filbert::cuda
