// What configurations of DeBERTa say: of its first version, and of those after it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "files/config.h"
#include "models/activations.h"

namespace filbert {

struct DebertaSizes {
  std::size_t vocabulary, embedding, hidden, layers, heads, intermediate, positions, token_types;
  float eps;
  filbert_activation activation;
  bool has_positions;            // a table of them
  bool is_relative;              // a table of relative positions
  bool to_position, to_content;  // the two terms of attention: content to position, position to content
  std::size_t terms;             // as many as scores are scaled for, whether they are computed or not
  std::int64_t farthest;         // the distance that the table of relative positions ends at

  // Of the versions after the first.
  std::int64_t span = farthest;  // buckets of distances to either side; of the first, one for each
  std::function<std::int64_t(std::int64_t)> bucket_of = [](std::int64_t distance) { return distance; };
  bool norms_positions = false;
  bool shares_keys = false;  // the layers' own projections make the position tables, too
  std::size_t kernel = 0;    // of the convolution; 0: there is none
  std::size_t groups = 1;
  filbert_activation kernel_activation = FILBERT_TANH;

  std::size_t rows() const { return 2 * static_cast<std::size_t>(span); }  // of the table of relative positions
  bool is_disentangled() const { return is_relative && (to_position || to_content); }
};

// Of settings that a configuration leaves out.
struct DebertaDefaults {
  std::int64_t vocabulary, hidden, layers, heads, intermediate;
};

// The settings that all versions have.
DebertaSizes read_deberta(const ConfigReader& config, const DebertaDefaults& defaults);

// "A | b" names a and b.
std::vector<std::string> deberta_names(const std::string& text);

// Whether `wanted` is among the names, which are known ones, or empty.
bool has_deberta_name(const ConfigReader& config, const char* field, const std::vector<std::string>& names,
                      std::string_view wanted, const std::array<std::string_view, 2>& known);

}  // namespace filbert
