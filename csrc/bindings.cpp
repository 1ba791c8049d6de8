// The Python module filbert._core: the public C++ API over NumPy arrays. The GIL is released around all work.
#include <filbert/filbert.h>
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <tuple>

#include "gil.h"

namespace py = pybind11;
using namespace pybind11::literals;
using filbert::python::or_sleep;
using filbert::python::ReleasedGil;

namespace {

using Int64Array = py::array_t<std::int64_t, py::array::c_style>;
using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;
using FloatArray = py::array_t<float, py::array::c_style>;

// Text with paths in it, which need not be UTF-8: as os.fsdecode has them.
py::str path_text(const std::string& text) {
  PyObject* const decoded = PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogateescape");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(decoded);
}

// The exception classes live in filbert.errors.
void raise_python(const char* name, const char* message) {
  const py::object type = py::module_::import("filbert.errors").attr(name);
  PyErr_SetObject(type.ptr(), path_text(message).ptr());
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const filbert::Interrupted&) {
    if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
  } catch (const filbert::ConfigError& error) {
    raise_python("ConfigError", error.what());
  } catch (const filbert::WeightsError& error) {
    raise_python("WeightsError", error.what());
  } catch (const filbert::InputError& error) {
    raise_python("InputError", error.what());
  } catch (const filbert::DeviceError& error) {
    raise_python("DeviceError", error.what());
  } catch (const filbert::FileError& error) {
    // OSError(errno, text) picks FileNotFoundError, PermissionError ... by itself.
    const py::object instance =
        py::reinterpret_borrow<py::object>(PyExc_OSError)(error.error_number(), path_text(error.what()));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(instance.ptr())), instance.ptr());
  }
}

template <typename T>
T named(const char* what, const std::string& name, std::initializer_list<std::pair<const char*, T>> names) {
  std::string known;
  for (const auto& [each, value] : names) {
    if (name == each) return value;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw filbert::InputError(std::string(what) + " \"" + name + "\" is unknown; expected one of: " + known);
}

filbert::Pooler pooler_of(const std::string& name) {
  using filbert::Pooler;
  return named<Pooler>("pooler", name,
                       {{"require", Pooler::require}, {"optional", Pooler::optional}, {"none", Pooler::none}});
}

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
  return named<Pooling>("pooling", name, {{"cls", Pooling::cls}, {"mean", Pooling::mean}, {"max", Pooling::max}});
}

py::tuple shape_tuple(const std::vector<std::uint64_t>& shape) {
  py::tuple result(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) result[i] = shape[i];
  return result;
}

const filbert::TensorView& tensor(const filbert::Weights& weights, const std::string& name) {
  const filbert::TensorView* found = weights.find(name);
  if (!found) throw py::key_error(name);
  return *found;
}

// Keeps a Python buffer alive from C++.
std::shared_ptr<const void> hold(py::buffer buffer) {
  return std::shared_ptr<const void>(buffer.release().ptr(), [](const void* held) {
    filbert::python::drop(static_cast<PyObject*>(const_cast<void*>(held)));
  });
}

void add_tensor(filbert::Weights& weights, const std::string& name, const std::string& dtype,
                std::vector<std::uint64_t> shape, const py::buffer& data) {
  const py::buffer_info info = data.request();
  py::ssize_t stride = info.itemsize;
  for (py::ssize_t i = info.ndim; i-- > 0; stride *= info.shape[static_cast<std::size_t>(i)])
    if (info.size > 0 && info.shape[static_cast<std::size_t>(i)] > 1 &&
        info.strides[static_cast<std::size_t>(i)] != stride)
      throw filbert::WeightsError("tensor " + name + ": the buffer is not C-contiguous");
  weights.add(name, dtype, std::move(shape), info.ptr, static_cast<std::size_t>(info.size * info.itemsize), hold(data));
}

py::array tensor_bytes(const py::object& self, const std::string& name) {
  const filbert::TensorView& view = tensor(self.cast<const filbert::Weights&>(), name);
  py::array bytes(py::dtype::of<std::uint8_t>(), {view.bytes}, {std::size_t{1}}, view.data, self);
  bytes.attr("setflags")("write"_a = false);
  return bytes;
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

py::tuple forward(const filbert::Model& model, const Int64Array& ids, const std::optional<ByteArray>& attention_mask,
                  const std::optional<Int64Array>& token_type_ids, const std::optional<Int64Array>& position_ids,
                  bool hidden_states, bool attentions, const py::object& allocate) {
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
  py::object last;
  std::tie(last, buffers.last_hidden_state) = make({rows, columns, hidden});
  py::object pooled = py::none(), states = py::none(), probabilities = py::none();
  if (info.pooler) std::tie(pooled, buffers.pooler_output) = make({rows, hidden});
  const auto make_list = [&](std::size_t count, const std::vector<py::ssize_t>& shape, std::vector<float*>& pointers) {
    py::list list;
    for (std::size_t i = 0; i < count; ++i) {
      const auto [array, data] = make(shape);
      pointers.push_back(data);
      list.append(array);
    }
    return list;
  };
  if (hidden_states) states = make_list(info.layers + 1, {rows, columns, hidden}, buffers.hidden_states);
  if (attentions)
    probabilities =
        make_list(info.layers, {rows, static_cast<py::ssize_t>(info.heads), columns, columns}, buffers.attentions);
  {
    ReleasedGil released;
    filbert::ForwardOptions options;
    options.interrupted = [&] { return released.interrupted(); };
    model.forward(batch, buffers, options);
  }
  return py::make_tuple(last, pooled, states, probabilities);
}

FloatArray embed(const filbert::Model& model, const Int64Array& ids, const Int64Array& cu_seqlens,
                 const std::string& pooling, bool normalize) {
  if (ids.ndim() != 1 || cu_seqlens.ndim() != 1 || cu_seqlens.size() < 1 ||
      cu_seqlens.data()[cu_seqlens.size() - 1] != ids.size())
    throw filbert::InputError(
        "embed takes ids [tokens] and cu_seqlens [sequences + 1] that ends with the number of tokens");
  filbert::TokenBatch batch;
  batch.ids = ids.data();
  batch.cu_seqlens = cu_seqlens.data();
  batch.sequences = static_cast<std::size_t>(cu_seqlens.size() - 1);
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
                          const std::string& dtype, int num_threads, const std::string& pooler) {
  filbert::LoadOptions options;
  options.device = device;
  options.dtype = dtype_of(dtype);
  options.threads = num_threads;
  options.pooler = pooler_of(pooler);
  const ReleasedGil released;
  return filbert::Model::create(config_json, weights, options);
}

const char* init_name(filbert::TensorSpec::Init init) {
  switch (init) {
    case filbert::TensorSpec::Init::normal:
      return "normal";
    case filbert::TensorSpec::Init::normal_padding_zero:
      return "normal_padding_zero";
    case filbert::TensorSpec::Init::zeros:
      return "zeros";
    case filbert::TensorSpec::Init::ones:
      return "ones";
  }
  return "";
}

void bind_weights(py::module_& module) {
  using filbert::Weights;
  py::class_<Weights>(module, "Weights")
      .def(py::init<std::string>(), "source"_a = "memory")
      .def_static(
          "open",
          [](const std::string& path, bool mmap) {
            const ReleasedGil released;
            return Weights::open(path, mmap);
          },
          "path"_a, "mmap"_a = true)
      .def("add", &add_tensor, "name"_a, "dtype"_a, "shape"_a, "data"_a)
      .def("names",
           [](const Weights& weights) {
             std::vector<std::string> names;
             for (const auto& [name, view] : weights.tensors()) names.push_back(name);
             return names;
           })
      .def(
          "dtype", [](const Weights& weights, const std::string& name) { return tensor(weights, name).dtype_name; },
          "name"_a)
      .def(
          "shape",
          [](const Weights& weights, const std::string& name) { return shape_tuple(tensor(weights, name).shape); },
          "name"_a)
      .def("data", &tensor_bytes, "name"_a)
      .def_property_readonly("source", [](const Weights& weights) { return path_text(weights.source()); });

  py::class_<filbert::TensorSpec>(module, "TensorSpec")
      .def_readonly("name", &filbert::TensorSpec::name)
      .def_property_readonly("shape", [](const filbert::TensorSpec& spec) { return shape_tuple(spec.shape); })
      .def_property_readonly("init", [](const filbert::TensorSpec& spec) { return init_name(spec.init); });

  py::class_<filbert::TensorMatch>(module, "TensorMatch")
      .def_property_readonly("tensors",
                             [](const filbert::TensorMatch& match) {
                               std::vector<std::pair<std::string, std::string>> pairs;
                               for (const auto& each : match.tensors)
                                 pairs.emplace_back(each.spec.name, each.source_name);
                               return pairs;
                             })
      .def_readonly("unexpected", &filbert::TensorMatch::unexpected)
      .def_readonly("pooler", &filbert::TensorMatch::pooler);
}

void bind_model(py::module_& module) {
  using filbert::Model;
  const auto field = [](auto member) { return [member](const Model& model) { return model.info().*member; }; };
  using Info = filbert::ModelInfo;
  py::class_<Model>(module, "Model")
      .def(py::init(&make_model), "config_json"_a, "weights"_a, py::kw_only(), "device"_a = "cpu",
           "dtype"_a = "float32", "num_threads"_a = 0, "pooler"_a = "optional")
      .def("forward", &forward, "input_ids"_a, "attention_mask"_a = py::none(), "token_type_ids"_a = py::none(),
           "position_ids"_a = py::none(), "hidden_states"_a = false, "attentions"_a = false, "allocate"_a = py::none())
      .def("embed", &embed, "input_ids"_a, "cu_seqlens"_a, "pooling"_a, "normalize"_a)
      .def_property_readonly("model_type", field(&Info::model_type))
      .def_property_readonly("device", field(&Info::device))
      .def_property_readonly("isa", field(&Info::isa))
      .def_property_readonly("threads", field(&Info::threads))
      .def_property_readonly("hidden_size", field(&Info::hidden_size))
      .def_property_readonly("layers", field(&Info::layers))
      .def_property_readonly("heads", field(&Info::heads))
      .def_property_readonly("max_positions", field(&Info::max_positions))
      .def_property_readonly("parameters", field(&Info::parameters))
      .def_property_readonly("pooler", field(&Info::pooler));
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The C++ engine of filbert.";
  module.attr("__version__") = FILBERT_VERSION;
  py::register_exception_translator(&translate);
  bind_weights(module);
  bind_model(module);

  using filbert::DeviceInfo;
  py::class_<DeviceInfo>(module, "DeviceInfo")
      .def_readonly("name", &DeviceInfo::name)
      .def_readonly("description", &DeviceInfo::description)
      .def_readonly("available", &DeviceInfo::available)
      .def_readonly("reason", &DeviceInfo::reason)
      .def_readonly("isas", &DeviceInfo::isas)
      .def_readonly("bf16_note", &DeviceInfo::bf16_note)
      .def_readonly("threads", &DeviceInfo::threads);

  module.def("validate_config", &filbert::validate_config, "config_json"_a, "source"_a = "config", "model_type"_a = "");
  module.def("shard_names", &filbert::shard_names, "index_path"_a);
  module.def("weight_map", &filbert::weight_map, "index_path"_a);
  module.def("tensor_specs", &filbert::tensor_specs, "config_json"_a, "pooler"_a = true);
  module.def(
      "match_tensors",
      [](const std::string& config_json, const filbert::Weights& weights, const std::string& pooler) {
        return filbert::match_tensors(config_json, weights, pooler_of(pooler));
      },
      "config_json"_a, "weights"_a, "pooler"_a = "optional");
  module.def("devices", &filbert::devices);
}
