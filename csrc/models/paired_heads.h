// Heads of files whose pairs, which turn together, lie side by side: 0 and 1, 2 and 3... They are read as the rotation
// wants them, in halves: the first numbers of all pairs, then the second ones. Scores do not see the order.
#pragma once

#include <string>

#include "models/layers.h"

namespace filbert {

// q, k and v, joined: a part each. So many of them, from the first on, turn.
Linear make_paired_qkv(Tensors& tensors, const Tensors::Parts& parts, std::size_t hidden, std::size_t head_size,
                       std::size_t turned, InputNorm input);

// What reads the heads where values turn, too.
Linear make_paired_out(Tensors& tensors, const std::string& name, std::size_t hidden, std::size_t head_size);

}  // namespace filbert
