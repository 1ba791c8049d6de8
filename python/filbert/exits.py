"""Calls that must not come back while Python ends.

Python before 3.14 makes a thread that comes back then exit, by unwinding its stack. The engine puts such a thread to
sleep; the tokenizers package, before 0.23.3, aborts the process.
"""

import atexit
import os
import time
from threading import get_ident

# Seconds that the process waits for calls at its end. A chunk of long texts takes about one.
_PATIENCE = 5.0


class RunningCalls:
    """To be entered around each call. At exit the running ones are waited for, and others wait for ever.

    Without a lock, which another thread could hold at a fork.
    """

    def __init__(self) -> None:
        self._running: list[None] = []  # as long as there are calls: cheaper than to know their threads
        self._closed_by: int | None = None
        atexit.register(self._close)
        os.register_at_fork(after_in_child=self._running.clear)

    def __enter__(self) -> None:
        self._running.append(None)
        if self._closed_by is not None and self._closed_by != get_ident():
            self._running.pop()
            while True:
                time.sleep(60)

    def __exit__(self, *error: object) -> None:
        if self._running:  # a signal handler that forks has cleared it
            self._running.pop()

    def _close(self) -> None:
        self._closed_by = get_ident()
        end = time.monotonic() + _PATIENCE
        while self._running and time.monotonic() < end:
            time.sleep(0.001)
