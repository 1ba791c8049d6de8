// Model: arrays of NumPy in, arrays out. The GIL is released around all work.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <tuple>

#include "bindings/bind.h"
#include "bindings/gil.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace filbert::python {
namespace {

using Int64Array = py::array_t<std::int64_t, py::array::c_style>;
using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;
using FloatArray = py::array_t<float, py::array::c_style>;

filbert::DType dtype_of(const std::string& name) {
  using filbert::DType;
  return named<DType>("dtype", name,
                      {{"float32", DType::f32},
                       {"bfloat16", DType::bf16},
                       {"int8", DType::i8},
                       {"float16", DType::f16},
                       {"float64", DType::f64}});
}

filbert::Pooling pooling_of(const std::string& name) {
  using filbert::Pooling;
  return named<Pooling>(
      "pooling", name,
      {{"cls", Pooling::cls}, {"mean", Pooling::mean}, {"max", Pooling::max}, {"lasttoken", Pooling::last}});
}

FloatArray make_array(std::vector<py::ssize_t> shape) { return FloatArray(std::move(shape)); }

void require_shape(const char* name, const py::array& array, const py::array& ids) {
  if (array.ndim() == ids.ndim() && std::equal(array.shape(), array.shape() + array.ndim(), ids.shape())) return;
  throw filbert::InputError(std::string(name) + " has shape " + py::str(array.attr("shape")).cast<std::string>() +
                            "; expected that of input_ids, " + py::str(ids.attr("shape")).cast<std::string>());
}

template <typename T>
const T* optional_data(const char* name, const std::optional<py::array_t<T, py::array::c_style>>& array,
                       const py::array& ids) {
  if (!array) return nullptr;
  require_shape(name, *array, ids);
  return array->data();
}

// Of what a head gives for a batch [rows, columns], or a packed one of [sequences, tokens].
std::vector<py::ssize_t> head_shape(const filbert::ModelInfo& info, std::pair<py::ssize_t, py::ssize_t> batch,
                                    const std::optional<Int64Array>& head_tokens, bool is_packed = false) {
  const auto width = static_cast<py::ssize_t>(info.head_width);
  if (head_tokens) return {head_tokens->size(), width};
  if (!info.head_per_token) return {batch.first, width};
  if (is_packed) return {batch.second, width};
  return {batch.first, batch.second, width};
}

std::optional<std::vector<std::int64_t>> list_of(const std::optional<Int64Array>& numbers) {
  if (!numbers) return std::nullopt;
  return std::vector(numbers->data(), numbers->data() + numbers->size());
}

py::tuple forward(const filbert::Model& model, const Int64Array& ids, const std::optional<ByteArray>& attention_mask,
                  const std::optional<Int64Array>& token_type_ids, const std::optional<Int64Array>& position_ids,
                  bool last_hidden_state, bool hidden_states, bool attentions, const py::object& allocate,
                  const std::optional<Int64Array>& head_tokens) {
  if (ids.ndim() != 2)
    throw filbert::InputError("input_ids has " + std::to_string(ids.ndim()) + " dimensions; expected 2");
  const py::ssize_t rows = ids.shape(0), columns = ids.shape(1);
  const filbert::ModelInfo& info = model.info();
  const auto hidden = static_cast<py::ssize_t>(info.hidden_size);
  filbert::PaddedBatch batch;
  batch.ids = ids.data();
  batch.rows = static_cast<std::size_t>(rows);
  batch.columns = static_cast<std::size_t>(columns);
  batch.attention_mask = optional_data("attention_mask", attention_mask, ids);
  batch.token_type_ids = optional_data("token_type_ids", token_type_ids, ids);
  batch.position_ids = optional_data("position_ids", position_ids, ids);

  filbert::OutputBuffers buffers;
  buffers.on_device = !allocate.is_none();
  // What is returned, and where its memory is.
  const auto make = [&](const std::vector<py::ssize_t>& shape) -> std::pair<py::object, float*> {
    if (buffers.on_device) {
      const py::tuple made = or_sleep([&] { return allocate(py::tuple(py::cast(shape))); });
      return {made[0], reinterpret_cast<float*>(made[1].cast<std::uintptr_t>())};
    }
    FloatArray array = make_array(shape);
    return {array, array.mutable_data()};
  };
  py::object last = py::none(), head = py::none(), states = py::none(), probabilities = py::none();
  if (last_hidden_state) std::tie(last, buffers.last_hidden_state) = make({rows, columns, hidden});
  if (info.head_width > 0) std::tie(head, buffers.head) = make(head_shape(info, {rows, columns}, head_tokens));
  const auto make_list = [&](const std::vector<std::vector<py::ssize_t>>& shapes, std::vector<float*>& pointers) {
    py::list list;
    for (const auto& shape : shapes) {
      const auto [array, data] = make(shape);
      pointers.push_back(data);
      list.append(array);
    }
    return list;
  };
  if (hidden_states) {
    std::vector<std::vector<py::ssize_t>> shapes(info.layers,
                                                 {rows, columns, static_cast<py::ssize_t>(info.inner_size)});
    shapes.push_back({rows, columns, hidden});
    states = make_list(shapes, buffers.hidden_states);
  }
  if (attentions)
    probabilities = make_list(std::vector<std::vector<py::ssize_t>>(
                                  info.layers, {rows, static_cast<py::ssize_t>(info.heads), columns, columns}),
                              buffers.attentions);
  {
    ReleasedGil released;
    filbert::ForwardOptions options;
    options.interrupted = [&] { return released.interrupted(); };
    options.head_tokens = list_of(head_tokens);
    model.forward(batch, buffers, options);
  }
  return py::make_tuple(last, head, states, probabilities);
}

filbert::TokenBatch packed_batch(const Int64Array& ids, const Int64Array& cu_seqlens,
                                 const std::optional<Int64Array>& token_type_ids = std::nullopt) {
  if (ids.ndim() != 1 || cu_seqlens.ndim() != 1 || cu_seqlens.size() < 1 ||
      cu_seqlens.data()[cu_seqlens.size() - 1] != ids.size())
    throw filbert::InputError(
        "a packed batch is ids [tokens] and cu_seqlens [sequences + 1] that ends with the number of tokens");
  filbert::TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = cu_seqlens.data();
  batch.sequences = static_cast<std::size_t>(cu_seqlens.size() - 1);
  batch.token_type_ids = optional_data("token_type_ids", token_type_ids, ids);
  return batch;
}

FloatArray run(const filbert::Model& model, const Int64Array& ids, const Int64Array& cu_seqlens,
               const std::optional<Int64Array>& token_type_ids, const std::optional<Int64Array>& head_tokens, bool head,
               const std::optional<Int64Array>& query_only) {
  filbert::TokenBatch batch = packed_batch(ids, cu_seqlens, token_type_ids);
  if (query_only) {
    if (query_only->ndim() != 1 || query_only->size() != cu_seqlens.size() - 1)
      throw filbert::InputError("query_only: expected a number for each of the " +
                                std::to_string(cu_seqlens.size() - 1) + " sequences");
    batch.query_only = query_only->data();
  }
  const filbert::ModelInfo& info = model.info();
  const auto hidden = static_cast<py::ssize_t>(info.hidden_size);
  FloatArray out = make_array(head ? head_shape(info, {cu_seqlens.size() - 1, ids.size()}, head_tokens, true)
                                   : std::vector<py::ssize_t>{ids.size(), hidden});
  filbert::OutputBuffers buffers;
  (head ? buffers.head : buffers.last_hidden_state) = out.mutable_data();
  {
    ReleasedGil released;
    filbert::ForwardOptions options;
    options.interrupted = [&] { return released.interrupted(); };
    options.head_tokens = list_of(head_tokens);
    model.forward(batch, buffers, options);
  }
  return out;
}

FloatArray max_head(const filbert::Model& model, const Int64Array& ids, const Int64Array& cu_seqlens,
                    const std::optional<Int64Array>& token_type_ids) {
  const filbert::TokenBatch batch = packed_batch(ids, cu_seqlens, token_type_ids);
  FloatArray out = make_array({cu_seqlens.size() - 1, static_cast<py::ssize_t>(model.info().head_width)});
  float* data = out.mutable_data();
  {
    ReleasedGil released;
    filbert::ForwardOptions options;
    options.interrupted = [&] { return released.interrupted(); };
    model.max_head(batch, data, options);
  }
  return out;
}

FloatArray embed(const filbert::Model& model, const Int64Array& ids, const Int64Array& cu_seqlens,
                 const std::string& pooling, bool normalize) {
  const filbert::TokenBatch batch = packed_batch(ids, cu_seqlens);
  const filbert::Pooling mode = pooling_of(pooling);
  FloatArray out = make_array({cu_seqlens.size() - 1, static_cast<py::ssize_t>(model.info().hidden_size)});
  float* data = out.mutable_data();
  {
    ReleasedGil released;
    filbert::ForwardOptions options;
    options.interrupted = [&] { return released.interrupted(); };
    model.embed(batch, mode, normalize, data, options);
  }
  return out;
}

filbert::Model make_model(const std::string& config_json, const filbert::Weights& weights, const std::string& device,
                          const std::string& dtype, int num_threads, const std::string& task, bool require_head) {
  filbert::LoadOptions options;
  options.device = device;
  options.dtype = dtype_of(dtype);
  options.threads = num_threads;
  options.task = task_of(task);
  options.require_head = require_head;
  const ReleasedGil released;
  return filbert::Model::create(config_json, weights, options);
}

}  // namespace

void bind_model(py::module_& module) {
  using filbert::Model;
  const auto field = [](auto member) { return [member](const Model& model) { return model.info().*member; }; };
  using Info = filbert::ModelInfo;
  py::class_<Model>(module, "Model")
      .def(py::init(&make_model), "config_json"_a, "weights"_a, py::kw_only(), "device"_a = "cpu",
           "dtype"_a = "float32", "num_threads"_a = 0, "task"_a = "model", "require_head"_a = false)
      .def("forward", &forward, "input_ids"_a, "attention_mask"_a = py::none(), "token_type_ids"_a = py::none(),
           "position_ids"_a = py::none(), "last_hidden_state"_a = true, "hidden_states"_a = false,
           "attentions"_a = false, "allocate"_a = py::none(), "head_tokens"_a = py::none())
      .def("run", &run, "input_ids"_a, "cu_seqlens"_a, "token_type_ids"_a = py::none(), "head_tokens"_a = py::none(),
           "head"_a = true, "query_only"_a = py::none())
      .def("max_head", &max_head, "input_ids"_a, "cu_seqlens"_a, "token_type_ids"_a = py::none())
      .def("embed", &embed, "input_ids"_a, "cu_seqlens"_a, "pooling"_a, "normalize"_a)
      .def_property_readonly("device", field(&Info::device))
      .def_property_readonly("isa", field(&Info::isa))
      .def_property_readonly("threads", field(&Info::threads))
      .def_property_readonly("vocabulary", field(&Info::vocabulary))
      .def_property_readonly("hidden_size", field(&Info::hidden_size))
      .def_property_readonly("layers", field(&Info::layers))
      .def_property_readonly("heads", field(&Info::heads))
      .def_property_readonly("max_positions", field(&Info::max_positions))
      .def_property_readonly("max_tokens", field(&Info::max_tokens))
      .def_property_readonly("head_width", field(&Info::head_width))
      .def_property_readonly("head_per_token", field(&Info::head_per_token));
}

}  // namespace filbert::python
