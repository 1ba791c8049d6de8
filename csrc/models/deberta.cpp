// DeBERTa (He et al., arXiv:2006.03654), the first version: a bucket for each distance, and q, k and v of one tensor.
#include <string>
#include <utility>

#include "models/deberta_encoder.h"

namespace filbert {
namespace {

DebertaSizes read(const ConfigReader& config) {
  if (config.boolean("talking_head", false))
    config.fail("talking_head", "false: filbert has no layers between the scores of heads");
  return read_deberta(config, {50265, 768, 12, 12, 3072});
}

// in_proj's rows are those of q, k and v of the first head, then of the second; the bias of k is zero.
Linear in_projection(const DebertaSizes& sizes, Tensors& tensors, const std::string& name, InputNorm input) {
  const std::size_t hidden = sizes.hidden, head_size = hidden / sizes.heads;
  std::vector<Tensors::Range> rows;
  for (std::size_t part = 0; part < 3; ++part)
    for (std::size_t row = part * head_size; row < 3 * hidden; row += 3 * head_size)
      rows.push_back({row, row + head_size});
  input.first_row = 2 * hidden;  // as in make_qkv
  Linear made;
  made.weight = tensors.join({{name + "in_proj.weight", 3 * hidden}}, hidden, rows, Tensors::Init::normal, input);
  made.bias =
      tensors.vector({{name + "q_bias", hidden}, {"", hidden}, {name + "v_bias", hidden}}, Tensors::Init::zeros);
  return made;
}

DebertaProjections projections(const DebertaSizes& sizes, Tensors& tensors, const std::string& name,
                               const InputNorm& input) {
  const std::size_t hidden = sizes.hidden;
  DebertaProjections made;
  made.qkv = in_projection(sizes, tensors, name, input);
  if (!sizes.is_disentangled()) return made;
  if (sizes.to_position) made.position_k = make_linear(tensors, {{name + "pos_proj", hidden}}, hidden, {}, false);
  if (sizes.to_content) made.position_q = make_linear(tensors, {{name + "pos_q_proj", hidden}}, hidden);
  return made;
}

std::unique_ptr<Encoder> deberta(const ConfigReader& config, Tensors& tensors) {
  return std::make_unique<DebertaEncoder>(read(config), projections, tensors);
}

std::unique_ptr<Head> deberta_first_head(Task task, const ConfigReader& config, Tensors& tensors) {
  return deberta_head(task, config, tensors, read(config));
}

}  // namespace

extern const Family kDeberta = {
    .model_type = "deberta",
    .prefixes = {"deberta."},
    .encoder = deberta,
    .head = deberta_first_head,
    .skipped = kDebertaSkipped,
};

}  // namespace filbert
