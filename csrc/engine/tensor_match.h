// Finds the tensors of a model in a checkpoint, whatever spelling of their names it uses. Knows no model.
#pragma once

#include <filbert/weights.h>

#include <string>
#include <vector>

namespace filbert {

// Names are compared without a leading `module.` (DistributedDataParallel), then without `base_prefix` ("bert."), each
// where it is there, with LayerNorm.gamma and .beta read as .weight and .bias; `position_ids` buffers are ignored.
// Without `require` the head is left out if the checkpoint has nothing of it; `hint` is what to say where that is an
// error. Throws WeightsError if two names mean one tensor, or listing the first ten tensors that are missing, of
// another shape or of a dtype that cannot be loaded, and some of the names that the file has instead.
TensorMatch match(const std::vector<TensorSpec>& base, const std::vector<TensorSpec>& head,
                  const std::string& base_prefix, bool require, const std::string& hint, const Weights& weights);

}  // namespace filbert
