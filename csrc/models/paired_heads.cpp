#include "models/paired_heads.h"

#include <vector>

namespace filbert {
namespace {

// Where the numbers of all heads are in a file, in the order in which they are read.
std::vector<std::size_t> in_halves(std::size_t hidden, std::size_t head_size) {
  std::vector<std::size_t> order;
  for (std::size_t head = 0; head < hidden; head += head_size)
    for (const std::size_t first : {head, head + 1})
      for (std::size_t i = first; i < head + head_size; i += 2) order.push_back(i);
  return order;
}

}  // namespace

Linear make_paired_qkv(Tensors& tensors, const Tensors::Parts& parts, std::size_t hidden, std::size_t head_size,
                       std::size_t turned, InputNorm input) {
  std::vector<Tensors::Range> rows;
  for (std::size_t part = 0; part < turned; ++part)
    for (const std::size_t row : in_halves(hidden, head_size)) rows.push_back({row, row + 1, part});
  for (std::size_t part = turned; part < parts.size(); ++part) rows.push_back({0, hidden, part});
  input.first_row = 2 * hidden;  // as in make_qkv
  Linear made;
  made.weight = tensors.join(with_suffix(parts, ".weight"), hidden, rows, Tensors::Init::normal, input);
  made.bias = tensors.join(with_suffix(parts, ".bias"), 0, rows, Tensors::Init::zeros);
  return made;
}

Linear make_paired_out(Tensors& tensors, const std::string& name, std::size_t hidden, std::size_t head_size) {
  const auto columns_in_halves = [&](const std::vector<float>& stored) {
    const std::vector<std::size_t> order = in_halves(hidden, head_size);
    std::vector<float> read;
    read.reserve(stored.size());
    for (std::size_t row = 0; row < hidden; ++row)
      for (const std::size_t column : order) read.push_back(stored[row * hidden + column]);
    return read;
  };
  Linear made;
  made.weight = tensors.computed_matrix(name + ".weight", {hidden, hidden}, hidden, columns_in_halves);
  made.bias = tensors.vector({{name + ".bias", hidden}}, Tensors::Init::zeros);
  return made;
}

}  // namespace filbert
