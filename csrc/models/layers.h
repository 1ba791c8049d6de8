// Parts that families are made of.
#pragma once

#include <string>

#include "engine/encoder.h"

namespace filbert {

struct Norm {
  Weight gamma, beta;
  std::string name;
};

struct Linear {
  Weight weight, bias;
};

inline Norm make_norm(Tensors& tensors, const std::string& name, std::size_t width) {
  return {tensors.vector({name + ".weight"}, width, Tensors::Init::ones),
          tensors.vector({name + ".bias"}, width, Tensors::Init::zeros), name};
}

// Layers of one input, joined: each [out, in]. input: the norm whose output they multiply, if it is one.
inline Linear make_linear(Tensors& tensors, const Tensors::Names& names, std::size_t out, std::size_t in,
                          const Norm* input = nullptr, Tensors::Owner owner = Tensors::Owner::base) {
  Tensors::Names weights, biases;
  for (const std::string& name : names) {
    weights.push_back(name + ".weight");
    biases.push_back(name + ".bias");
  }
  Weight weight = tensors.matrix(weights, out, in, input ? input->name : std::string(), owner);
  return {std::move(weight), tensors.vector(biases, out, Tensors::Init::zeros, owner)};
}

}  // namespace filbert
