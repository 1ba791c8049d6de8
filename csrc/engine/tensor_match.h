// Finds the tensors of a model in a checkpoint, whatever spelling of their names it uses. Knows no model.
#pragma once

#include <filbert/weights.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace filbert {

// What stands before the names of a base model's tensors in checkpoints with a head, such as "bert."; empty: no other.
using Prefixes = std::array<std::string_view, 2>;
using Skipped = std::array<std::string_view, 4>;  // as many as are not empty

// The tensors of a file by their names as they are compared: see below.
using Shapes = std::map<std::string, std::vector<std::uint64_t>>;
Shapes shapes_in(const Weights& weights, const Prefixes& base_prefixes);

// Names are compared without a leading `module.` (DistributedDataParallel), then without a base prefix, each where it
// is there, with LayerNorm.gamma and .beta read as .weight and .bias; the buffers `position_ids`, `rotary_emb.inv_freq`
// and `rotary_embeddings.inv_freq` are ignored where no model asks for them, and names that begin with one of
// `skipped`. Without `require` the head is left out if the checkpoint has nothing of it; `hint` is what to say
// where that is an error. Throws WeightsError if two names mean one tensor, if two tensors that are tied differ, or
// listing the first ten tensors that are missing, of another shape or of a dtype that cannot be loaded, and some of the
// names that the file has instead.
TensorMatch match(const std::vector<TensorSpec>& base, const std::vector<TensorSpec>& head,
                  const Prefixes& base_prefixes, bool require, const std::string& hint, const Weights& weights,
                  const Skipped& skipped = {});

}  // namespace filbert
