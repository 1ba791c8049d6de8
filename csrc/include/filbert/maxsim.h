// Scores of late interaction (ColBERT: Khattab and Zaharia, arXiv:2004.12832).
#pragma once

#include <filbert/export.h>

#include <cstddef>
#include <cstdint>

namespace filbert {

// Sets of vectors: set i is rows [bounds[i], bounds[i+1]) of [rows, width]. The memory stays the caller's.
struct VectorSets {
  const float* rows = nullptr;
  const std::int64_t* bounds = nullptr;  // [count + 1], starts at 0, never decreases
  std::size_t count = 0;
};

// scores [queries, documents]: for each vector of a query the largest product with one of the document's, added up.
// A query without vectors, a document without vectors and a width of 0 give zeros, and NaN is the largest only where
// there is nothing else. A score is bit-identical whatever else is scored. threads: at most, see LoadOptions; little
// work is done by one. Throws InputError, DeviceError, std::bad_alloc.
FILBERT_API void maxsim(const VectorSets& queries, const VectorSets& documents, std::size_t width, float* scores,
                        int threads = 0);

}  // namespace filbert
