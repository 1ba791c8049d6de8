#include "engine/listed_tokens.h"

#include <filbert/error.h>

#include <string>

namespace filbert {

ListedTokens::ListedTokens(const std::optional<std::vector<std::int64_t>>& listed, const PackedTokens& packed,
                           const Layout& layout)
    : is_all_(!listed) {
  if (!listed || listed->empty()) return;
  std::vector<std::size_t> token_at(layout.rows, PackedTokens::kNowhere);
  for (std::size_t token = 0; token < packed.tokens(); ++token)
    if (packed.row_of(token) != PackedTokens::kNowhere) token_at[packed.row_of(token)] = token;
  for (std::size_t i = 0; i < listed->size(); ++i) {
    const std::int64_t place = (*listed)[i];
    const std::string name = "head_tokens[" + std::to_string(i) + "]: found " + std::to_string(place);
    if (place < 0 || static_cast<std::uint64_t>(place) >= layout.rows)
      throw InputError(name + ", but the batch has " + std::to_string(layout.rows) + " places");
    const std::size_t token = token_at[static_cast<std::size_t>(place)];
    if (token == PackedTokens::kNowhere) throw InputError(name + ", where the token is masked");
    tokens_.push_back(token);
  }
}

ListedTokens::OfPass ListedTokens::of(const PackedTokens& packed, const Pass& pass) const {
  const std::size_t first = packed.cu_seqlens[pass.begin], end = packed.cu_seqlens[pass.end];
  OfPass found;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i] < first || tokens_[i] >= end) continue;
    found.tokens.push_back(static_cast<std::int32_t>(tokens_[i] - first));
    found.rows.push_back(i);
  }
  return found;
}

}  // namespace filbert
