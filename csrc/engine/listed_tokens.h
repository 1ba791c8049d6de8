// The tokens of a batch whose rows of a head are wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/outputs.h"

namespace filbert {

class ListedTokens {
 public:
  // listed: where they stand in the caller's batch; if absent, all are wanted. Throws InputError for what is not in the
  // batch, or masked.
  ListedTokens(const std::optional<std::vector<std::int64_t>>& listed, const PackedTokens& packed,
               const Layout& layout);

  bool is_all() const { return is_all_; }

  // Those of a pass: which of its tokens, and where each is in the list.
  struct OfPass {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> rows;
  };
  OfPass of(const PackedTokens& packed, const Pass& pass) const;

 private:
  bool is_all_;
  std::vector<std::size_t> tokens_;  // of the packed batch
};

}  // namespace filbert
