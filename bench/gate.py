"""How fast the processor is at this moment (gate.h): on a machine that others share, often half as fast for seconds."""

import ctypes
from pathlib import Path


class Gate:
    """A loop on each of the first `threads` processors, by the library that is built beside bench_ops."""

    def __init__(self, bench_ops: Path, threads: int) -> None:
        import filbert

        library = ctypes.CDLL(str(bench_ops.resolve().with_name("libfilbert_gate.so")))
        self._rate = library.filbert_gate_rate
        self._rate.restype = ctypes.c_double
        isa = filbert.devices()[0].isas[0]
        if not library.filbert_gate_open(isa.encode(), threads):
            raise RuntimeError(f"there is no loop for {isa}")

    def rate(self) -> float:
        """Of the slowest of them, in GFLOP/s."""
        return float(self._rate())
