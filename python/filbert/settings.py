"""Settings in the files of a model: every key is honoured, harmless or refused, and an unknown one is not silent."""

import sys
import warnings
from collections.abc import Callable, Container, Mapping
from typing import Any


def warn_about_unknown(path: str, config: Mapping[str, Any], known: Container[str] | Callable[[str], bool]) -> None:
    """Warns once, with all their names, of keys of the file at `path` that are not `known` (null counts as absent)."""
    is_known = known if callable(known) else known.__contains__
    unknown = [key for key, value in config.items() if value is not None and not is_known(key)]
    if unknown:
        listed = ", ".join(f"{key}={config[key]!r:.60}" for key in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"{path}: filbert does not know {listed}{more}, and leaves {'them' if unknown[1:] else 'it'} out; if a "
            "setting changes what the model computes, results will differ",
            stacklevel=outside(),
        )


def outside() -> int:
    """The `stacklevel` of a warning that points at the program, however deep in this package its caller is."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    return level
