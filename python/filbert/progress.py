"""Progress bars."""

import sys
from typing import Any

# Seconds before an automatic one shows.
_DELAY = 1.0


class Bar:
    """A progress bar over texts: shown, not shown, or (None) shown on a terminal once it takes its time."""

    def __init__(self, total: int | None, show: bool | None, description: str, unit: str = "text") -> None:
        self._bar: Any = None
        if sys.stderr is not None and (_is_terminal() if show is None else show):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit=unit, desc=description, delay=_DELAY if show is None else 0)

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
