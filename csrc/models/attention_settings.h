// What configurations say of attention and several families share: rotary positions, and layers that see only what is
// near.
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

// rope_theta of an object of rope_parameters, or `fallback`. Throws ConfigError for any other rotation than the plain
// one.
double read_theta(const ConfigReader& parameters, double fallback);

// What one key says of it, there or where older configurations have it. Null is an error, as in transformers.
double read_theta_named(const ConfigReader& config, const char* field, double fallback);

// Throws ConfigError for the keys from before rope_parameters that change the rotation.
void refuse_scaled_rotation(const ConfigReader& config);

// 1 / theta^(2 i / rotary), i < rotary / 2; Su et al., arXiv:2104.09864.
std::vector<float> rotary_frequencies(double theta, std::size_t rotary);

// The rotation of all layers: rope_theta of rope_parameters, or of the configuration itself. Throws as above.
double read_theta_of_all(const ConfigReader& config, double fallback);

// The same of the layers of one kind ("full_attention"); `older` is what was said before there were rope_parameters.
double read_theta_of_kind(const ConfigReader& config, const char* kind, double older);

// The rotation of gte: rope_type "ntk" scales it for longer texts than those that the model learned from.
std::vector<float> read_ntk_frequencies(const ConfigReader& config, double theta, std::size_t rotary);

// (theta factor)^(-2 i / rotary) / factor^(2 / rotary), i < rotary / 2: both are stretched, the slowest frequencies by
// factor and the fastest hardly; https://kexue.fm/archives/9706, formula 6.
std::vector<float> ntk_frequencies(double theta, double factor, std::size_t rotary);

// What a token adds to a head's score for each column that it is away: 2^(-8 (head + 1) / heads) where heads are a
// power of two; else of the next lower power, then every second one of the next higher; Press et al., arXiv:2108.12409.
std::vector<double> alibi_slopes(std::size_t heads);

// For each layer, whether it sees only what is near: as layer_types says, or else `by_default`.
std::vector<bool> read_sliding_layers(const ConfigReader& config, std::size_t layers,
                                      const std::function<bool(std::size_t)>& by_default);

}  // namespace filbert
