"""Progress bars."""

import sys
from typing import Any

# Seconds before an automatic one shows.
_DELAY = 1.0


class Bar:
    """A progress bar: shown, not shown, or (None) shown on a terminal once it takes its time.

    leave: whether a finished one stays.
    """

    def __init__(
        self, total: int | None, show: bool | None, description: str, unit: str = "text", leave: bool = True
    ) -> None:
        self._bar: Any = None
        if sys.stderr is not None and (_is_terminal() if show is None else show):
            from tqdm.auto import tqdm

            delay = _DELAY if show is None else 0
            self._bar = tqdm(total=total, unit=unit, desc=description, delay=delay, leave=leave)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1) -> None:
        if self._bar is not None:
            self._bar.update(count)


def _is_terminal() -> bool:
    # Standard error may be an object of a program that logs what is written to it.
    return hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
