// What configurations say of attention and several families share: rotary positions, and layers that see only what is
// near.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "files/config.h"

namespace filbert {

// rope_theta of an object of rope_parameters, or `fallback`. Throws ConfigError for any other rotation than the plain
// one.
double read_theta(const ConfigReader& parameters, double fallback);

// Throws ConfigError for the keys from before rope_parameters that change the rotation.
void refuse_scaled_rotation(const ConfigReader& config);

// 1 / theta^(2 i / rotary), i < rotary / 2; Su et al., arXiv:2104.09864.
std::vector<float> rotary_frequencies(double theta, std::size_t rotary);

// For each layer, whether it sees only what is near: as layer_types says, or else `by_default`.
std::vector<bool> read_sliding_layers(const ConfigReader& config, std::size_t layers,
                                      const std::function<bool(std::size_t)>& by_default);

}  // namespace filbert
