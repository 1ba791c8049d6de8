"""Interpreters beside the main one of a process, which Python before 3.12 does not keep apart for the engine."""

import sys


def refuse() -> None:
    """Raises ImportError in one of them, where importing the engine would wait for ever.

    Before Python 3.12 pybind11 asks for the lock by functions (PyGILState) that know the main interpreter alone.
    """
    if sys.version_info >= (3, 12):
        return
    try:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
    except ImportError:  # a Python that was built without them
        return
    if interpreters.get_current() != interpreters.get_main():
        raise ImportError(
            "filbert runs in the main interpreter of a process, found a subinterpreter; before Python 3.12 it cannot "
            "be used there (of mod_wsgi, WSGIApplicationGroup %{GLOBAL} is the main interpreter)"
        )
