// Leaving and taking the GIL. In Python before 3.14 a thread that takes it while the interpreter ends is made to exit
// on the spot: pthread_exit unwinds its frames, and the first that is noexcept (the destructors of pybind11's guards
// are) turns this into std::terminate. Here such a thread sleeps until the process is gone, with all it holds, as in
// Python 3.14. Asking first whether the interpreter ends would not do: the thread may be waiting for the GIL already.
#pragma once

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace filbert::python {

// What body() returns or throws. For all that may take the GIL, running Python code included.
template <typename Body>
auto or_sleep(const Body& body) {
  try {
    return body();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();  // a handler of these must not end
  }
}

// Without the GIL while this lives.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ~ReleasedGil() {
    or_sleep([&] { PyEval_RestoreThread(state_); });
  }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

  // Whether a signal handler of Python (Ctrl-C) has raised its exception, which is then set.
  bool interrupted() {
    return or_sleep([&] {
      PyEval_RestoreThread(state_);
      const bool raised = PyErr_CheckSignals() != 0;
      state_ = PyEval_SaveThread();
      return raised;
    });
  }

 private:
  PyThreadState* state_;
};

inline bool is_ending() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

// Gives a reference back, from any thread. None is given back to an interpreter that ends.
inline void drop(PyObject* object) {
  if (is_ending()) return;
  or_sleep([&] {
    const PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF(object);
    PyGILState_Release(state);
  });
}

}  // namespace filbert::python
