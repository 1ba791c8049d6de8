// Weights, and what a model asks of them.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/gil.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace filbert::python {
namespace {

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

// Keeps the memory of a buffer where it is, of one that can be closed or grown, too.
std::shared_ptr<const void> hold(const py::buffer& buffer) {
  return std::shared_ptr<const void>(py::memoryview(buffer).release().ptr(), [](const void* held) {
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

}  // namespace

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
                                 pairs.emplace_back(each.saved_name, each.source_name);
                               return pairs;
                             })
      .def_readonly("unexpected", &filbert::TensorMatch::unexpected)
      .def_readonly("head", &filbert::TensorMatch::head)
      .def_readonly("has_head", &filbert::TensorMatch::has_head);

  module.def("shard_names", &filbert::shard_names, "index_path"_a);
  module.def("weight_map", &filbert::weight_map, "index_path"_a);
  module.def(
      "tensor_specs",
      [](const std::string& config_json, const std::string& task) { return tensor_specs(config_json, task_of(task)); },
      "config_json"_a, "task"_a);
  module.def(
      "match_tensors",
      [](const std::string& config_json, const Weights& weights, const std::string& task, bool require_head,
         const std::string& source) {
        return match_tensors(config_json, weights, task_of(task), require_head, source);
      },
      "config_json"_a, "weights"_a, "task"_a, "require_head"_a, "source"_a = "config");
}

}  // namespace filbert::python
