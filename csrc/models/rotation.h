// Rotary positions (Su et al., arXiv:2104.09864) as configurations have them: how fast the pairs of a head turn, and
// the ways of slowing them for texts longer than those that a model learned from.
#pragma once

#include <cstddef>
#include <vector>

#include "files/config.h"

namespace filbert {

struct Rotation {
  std::vector<float> frequencies;  // [head_size / 2], radians a position
  float score_scale = 1;           // what scores are multiplied by: heads of q and k may grow as they turn
};

// What a model says of its rotation beside rope_parameters.
struct RotaryModel {
  double theta;                            // where nothing tells it
  std::size_t head_size;                   // heads turn as a whole
  std::size_t longest;                     // max_position_embeddings
  const char* theta_field = "rope_theta";  // where it is if not in rope_parameters; null: nowhere
  bool takes_scaling = true;               // whether the older rope_scaling is of these layers
};

// The rotation of all layers: of rope_scaling where it says anything, else of rope_parameters, else the older
// rope_theta. Throws ConfigError for one that is unknown or changes with the length of a text.
Rotation read_rotation(const ConfigReader& config, const RotaryModel& model);

// The same of the layers of one kind ("full_attention").
Rotation read_rotation_of_kind(const ConfigReader& config, const char* kind, const RotaryModel& model);

// The rotation of gte: one more type, "ntk".
Rotation read_rotation_or_ntk(const ConfigReader& config, const RotaryModel& model);

// 1 / theta^(2 i / rotary), i < rotary / 2.
std::vector<float> rotary_frequencies(double theta, std::size_t rotary);

// (theta factor)^(-2 i / rotary) / factor^(2 / rotary), i < rotary / 2: both are stretched, the slowest frequencies by
// factor and the fastest hardly; https://kexue.fm/archives/9706, formula 6.
std::vector<float> ntk_frequencies(double theta, double factor, std::size_t rotary);

}  // namespace filbert
