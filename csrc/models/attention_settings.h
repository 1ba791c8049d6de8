// What configurations say of attention and several families share: the size of heads, slopes of ALiBi, and layers that
// see only what is near.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "files/config.h"

namespace filbert {

// Heads of `head_dim` numbers; they turn in pairs, so it is even.
std::size_t read_head_size(const ConfigReader& config, std::int64_t fallback);

// The same where heads share the hidden size; both have been read from the fields named.
std::size_t rotary_head_size(const ConfigReader& config, const char* hidden_field, std::int64_t hidden,
                             const char* heads_field, std::int64_t heads);

// What a token adds to a head's score for each column that it is away: 2^(-8 (head + 1) / heads) where heads are a
// power of two; else of the next lower power, then every second one of the next higher; Press et al., arXiv:2108.12409.
std::vector<double> alibi_slopes(std::size_t heads);

// For each layer, whether it sees only what is near: as layer_types says, or else `by_default`.
std::vector<bool> read_sliding_layers(const ConfigReader& config, std::size_t layers,
                                      const std::function<bool(std::size_t)>& by_default);

}  // namespace filbert
