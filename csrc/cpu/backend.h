#pragma once

#include "filbert/backend.h"

namespace filbert::cpu {

// The CPU's op table, linked into the library.
const filbert_backend* backend();

}  // namespace filbert::cpu
