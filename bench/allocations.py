"""The bytes that a forward of filbert takes once it is warm.

tracemalloc sees Python's objects and NumPy's arrays, the result among them. mallinfo2 (glibc) sees what the C++ engine
keeps after its forwards, not what it takes and gives back within one: that it takes nothing is asserted by the C++
tests, which count every allocation (tests/cpp/count_allocations.h).
"""

import ctypes
import gc
import tracemalloc
from collections.abc import Callable

import numpy as np

CASE = (1, 32)
FORWARDS = 100


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def measure_allocations(forward: Callable[[np.ndarray], np.ndarray]) -> dict[str, float | None]:
    """python_peak: most bytes at once, result_bytes of them the result. *_kept: bytes not given back, a forward."""
    ids = np.random.default_rng(0).integers(0, 30522, CASE)
    for _ in range(FORWARDS):
        forward(ids)
    gc.collect()
    native = _native_bytes()
    for _ in range(FORWARDS):
        forward(ids)
    native_after = _native_bytes()

    tracemalloc.start()
    forward(ids)
    gc.collect()  # it empties CPython's lists of free objects, too, which a loop of calls fills
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    result_bytes = forward(ids).nbytes
    _, peak = tracemalloc.get_traced_memory()
    for _ in range(FORWARDS):
        forward(ids)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "result_bytes": result_bytes,
        "python_peak": peak - before,
        "python_kept": (after - before) / FORWARDS,
        "native_kept": None if native is None or native_after is None else (native_after - native) / FORWARDS,
    }


def _native_bytes() -> int | None:
    """Bytes that malloc has handed out, mapped blocks included; None where libc is not glibc."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return found.uordblks + found.hblkhd
