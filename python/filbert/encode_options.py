"""Options of `SentenceEncoder.encode` where a call gets some of the texts: those that do not depend on the others."""

from collections.abc import Mapping
from typing import Any

from .errors import InputError

PRECISIONS = ("float32", "float16", "binary", "ubinary")
# Those that change vectors, and those that change only how they are computed.
_MEANING = ("prompt", "prompt_name", "normalize_embeddings", "truncate_dim", "task")
_RUNNING = ("batch_size", "on_truncate")


def check_precision(precision: str | None) -> str:
    """One of PRECISIONS; None is float32. Raises InputError."""
    precision = "float32" if precision is None else precision
    if precision in ("int8", "uint8"):
        raise InputError(
            f"precision: found {precision!r}, whose steps depend on all vectors at once, and would be others for each "
            f"part of them; expected one of {', '.join(PRECISIONS)}"
        )
    if precision not in PRECISIONS:
        raise InputError(f"precision: found {precision!r:.100}, expected one of {', '.join(PRECISIONS)}")
    return precision


def check_options(function: str, options: Mapping[str, Any]) -> None:
    """Raises TypeError for names that `function` does not take."""
    if unknown := sorted(options.keys() - {*_MEANING, *_RUNNING}):
        raise TypeError(
            f"{function}() got unexpected keyword arguments: {', '.join(unknown)}; of those of "
            f"SentenceEncoder.encode it takes {', '.join((*_MEANING, 'precision', *_RUNNING))}"
        )
