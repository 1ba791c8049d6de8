"""Rows to vectors, and what becomes of rows that have none."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..sentence.encoder import SentenceEncoder
from .rows import Rows
from .settings import Settings

Vectors = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_] | None


class Problem(NamedTuple):
    """Why a row has no vector: in a word or two, by which such rows are counted, and in full."""

    reason: str
    message: str


class RowEncoder:
    """Encodes rows as the settings of a job say. width, dtype: of a vector."""

    def __init__(self, encoder: SentenceEncoder, settings: Settings) -> None:
        self._encoder, self._settings = encoder, settings
        self._narrow = settings.precision == "float16"
        # Options that fit no text are found here, before any row.
        empty = self._encode([])
        self.width: int = empty.shape[1]
        self.dtype: np.dtype[Any] = empty.dtype

    def encode(self, rows: Rows, bad: dict[str, int]) -> tuple[Vectors, Valid]:
        """Vectors [n, width] of rows, and which of them are there: None is all.

        Those that are not are zeros, and `bad` counts them by reason. Raises InputError for the first of them if the
        job is to end there, and MemoryError.
        """
        problems: dict[int, Problem] = {}
        good: list[int] = []
        for index, text in enumerate(rows.texts):
            problem = _problem(text, rows.problems.get(index))
            if problem is None:
                good.append(index)
            else:
                problems[index] = problem
        self._end_at_first(rows, problems)
        pieces = self._encode_good(rows.texts, good, problems)
        self._end_at_first(rows, problems)
        if not problems and len(pieces) == 1:
            return pieces[0][1], None
        vectors = np.zeros((len(rows.texts), self.width), self.dtype)
        valid = np.zeros(len(rows.texts), np.bool_)
        for indices, found in pieces:
            vectors[indices], valid[indices] = found, True
        for problem in problems.values():
            bad[problem.reason] = bad.get(problem.reason, 0) + 1
        return vectors, valid

    def _encode_good(
        self, texts: list[Any], indices: list[int], problems: dict[int, Problem]
    ) -> list[tuple[list[int], Vectors]]:
        """Vectors of texts, in pieces; those that the encoder refuses become problems, found by halving."""
        if not indices or (problems and self._settings.on_error == "raise"):
            return []
        try:
            return [(indices, self._encode([texts[index] for index in indices]))]
        except InputError as error:
            if len(indices) == 1:
                problems[indices[0]] = Problem("refused", str(error))
                return []
        middle = len(indices) // 2
        return [
            *self._encode_good(texts, indices[:middle], problems),
            *self._encode_good(texts, indices[middle:], problems),
        ]

    def _encode(self, texts: list[str]) -> Vectors:
        precision = "float32" if self._narrow else self._settings.precision
        options = {**self._settings.options, "precision": precision}
        vectors: Vectors = self._encoder.encode(texts, **options, show_progress_bar=False)
        return vectors.astype(np.float16) if self._narrow else vectors

    def _end_at_first(self, rows: Rows, problems: dict[int, Problem]) -> None:
        if problems and self._settings.on_error == "raise":
            index = min(problems)
            raise InputError(
                f"{rows.path}: row {rows.first + index} (from 0): {problems[index].message}; "
                "on_error='null' goes on without its vector"
            )


def _problem(text: Any, unreadable: str | None) -> Problem | None:
    if unreadable is not None:
        return Problem("unreadable", unreadable)
    if text is None:
        return Problem("null", "found no text")
    if not isinstance(text, str):
        return Problem("not text", f"found {text!r:.100} ({type(text).__name__}), expected a string")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Problem("not UTF-8", "the text is not UTF-8")
    return None
