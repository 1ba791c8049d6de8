// C++ exceptions as those of filbert.errors.
#include "bindings/bind.h"

namespace py = pybind11;

namespace filbert::python {

py::str path_text(const std::string& text) {
  PyObject* const decoded = PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogateescape");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(decoded);
}

namespace {

// The exception classes live in filbert.errors.
void raise_python(const char* name, const char* message) {
  const py::object type = py::module_::import("filbert.errors").attr(name);
  PyErr_SetObject(type.ptr(), path_text(message).ptr());
}

}  // namespace

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

}  // namespace filbert::python
