// The Python module filbert._core: the public C++ API.
#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace py = pybind11;
using namespace pybind11::literals;

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "The C++ engine of filbert.";
  module.attr("__version__") = FILBERT_VERSION;
  py::register_exception_translator(&filbert::python::translate);
  filbert::python::bind_weights(module);
  filbert::python::bind_model(module);
  filbert::python::bind_maxsim(module);

  using filbert::DeviceInfo;
  py::class_<DeviceInfo>(module, "DeviceInfo")
      .def_readonly("name", &DeviceInfo::name)
      .def_readonly("description", &DeviceInfo::description)
      .def_readonly("available", &DeviceInfo::available)
      .def_readonly("reason", &DeviceInfo::reason)
      .def_readonly("isas", &DeviceInfo::isas)
      .def_readonly("note", &DeviceInfo::note)
      .def_readonly("threads", &DeviceInfo::threads);

  module.def("validate_config", &filbert::validate_config, "config_json"_a, "source"_a = "config", "model_type"_a = "");
  module.def("devices", &filbert::devices);
}
