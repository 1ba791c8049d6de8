#pragma once

#include "filbert/backend.h"

namespace filbert::cuda {

// The op table of CUDA devices, as the plug-in gives it.
const filbert_backend* backend();

// The parts of it: a file each.
void add_context(filbert_backend&);
void add_memory(filbert_backend&);
void add_ops(filbert_backend&);
void add_recordings(filbert_backend&);

}  // namespace filbert::cuda
