#pragma once

#include <cstddef>

namespace filbert::testing {

// How often operator new was called so far, by any thread.
std::size_t allocation_count();

}  // namespace filbert::testing
