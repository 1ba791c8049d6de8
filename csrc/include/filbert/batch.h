// Batches of token ids. Inside the engine a batch is packed: [tokens] with cu_seqlens, and padding does not exist.
#pragma once

#include <filbert/export.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace filbert {

// A ragged batch: sequence i is tokens [cu_seqlens[i], cu_seqlens[i+1]). The memory stays the caller's.
struct TokenBatch {
  const std::int64_t* ids = nullptr;         // [tokens]
  const std::int64_t* cu_seqlens = nullptr;  // [sequences + 1], starts at 0, never decreases
  std::size_t sequences = 0;
  const std::int64_t* token_type_ids = nullptr;  // [tokens], or null for zeros; of a model without types 0 or 1
  const std::int64_t* position_ids = nullptr;    // [tokens], or null for the model's own
  const std::int64_t* query_only = nullptr;      // [sequences] how many of its last tokens no token attends to, or null
};

// A rectangular batch as transformers takes it: [rows, columns], row-major.
struct PaddedBatch {
  const std::int64_t* ids = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  const std::uint8_t* attention_mask = nullptr;  // nonzero: a token; null: everything is
  const std::int64_t* token_type_ids = nullptr;  // or null for zeros
  const std::int64_t* position_ids = nullptr;    // or null for the model's own
};

}  // namespace filbert
