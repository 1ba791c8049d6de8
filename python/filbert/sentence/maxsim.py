"""Scores of late interaction between texts that have a vector for each token (https://arxiv.org/abs/2004.12832)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import InputError
from ..libraries import like
from ..scores import Floats

Integers = npt.NDArray[np.int64]

SCORES = ("maxsim", "meanmaxsim")

# Of a document that has no vector: below every other, as in sentence-transformers.
_NOTHING_TO_SCORE = np.float32(-1e9)
# Vectors of documents that are copied side by side at a time.
_ROWS = 1 << 18


def products(rows: Floats, weight: Floats, num_threads: int = 0) -> Floats:
    """rows @ weight.T, whose bits do not depend on how many rows there are, as those of a BLAS may.

    The largest of one product is that product, so each row counts as a text of one token. The kernel lays out its
    first argument, so where there are far more rows than weights these come first; a product is the same either way.
    """
    first, second = (weight, rows) if len(rows) > 4 * len(weight) else (rows, weight)
    found = _core.maxsim(first, np.arange(len(first) + 1), second, np.arange(len(second) + 1), num_threads)
    return found if first is rows else np.ascontiguousarray(found.T)


def scores(name: str, queries: Any, documents: Any, num_threads: int = 0) -> Floats:
    """Scores [queries, documents] of lists of arrays [tokens, width].

    For each vector of a query the largest product with one of the document counts. name: "maxsim" adds these up,
    "meanmaxsim" takes their mean. Raises InputError.
    """
    asked, searched = _Sets("embeddings1", queries), _Sets("embeddings2", documents)
    asked.check_widths(searched)
    found = np.zeros((len(asked.arrays), len(searched.arrays)), np.float32)
    if asked.width is not None:
        query_rows, query_bounds = asked.side_by_side(0, len(asked.arrays))
        for begin, end in searched.parts():
            rows, bounds = searched.side_by_side(begin, end)
            found[:, begin:end] = _core.maxsim(query_rows, query_bounds, rows, bounds, num_threads)
    found[:, searched.lengths == 0] = _NOTHING_TO_SCORE
    return found / asked.divisors()[:, None] if name == "meanmaxsim" else found


def pair_scores(name: str, queries: Any, documents: Any) -> Floats:
    """Scores [n] of each query with the document of the same number; see `scores`."""
    asked, searched = _Sets("embeddings1", queries), _Sets("embeddings2", documents)
    if len(asked.arrays) != len(searched.arrays):
        raise InputError(
            f"similarity_pairwise: found {len(asked.arrays)} and {len(searched.arrays)}, expected as many of both"
        )
    asked.check_widths(searched)
    found = np.zeros(len(asked.arrays), np.float32)
    for index in np.flatnonzero(asked.lengths * searched.lengths).tolist():
        query, document = asked.side_by_side(index, index + 1), searched.side_by_side(index, index + 1)
        found[index] = _core.maxsim(*query, *document, 1)[0, 0]
    found[searched.lengths == 0] = _NOTHING_TO_SCORE
    return found / asked.divisors() if name == "meanmaxsim" else found


class _Sets:
    """Sets of vectors: `arrays` [tokens, width] of each, and their `lengths`; `width` is None if there is no vector."""

    def __init__(self, name: str, value: Any) -> None:
        """name: of `value`, a list of arrays [tokens, width], for messages.

        One such array is a set. Of it, and of an array [sets, tokens, width], rows of zeros are padding.
        """
        self.arrays = _arrays(name, value)
        self.lengths: Integers = np.array([len(rows) for rows in self.arrays], np.int64)
        widths = {rows.shape[1] for rows in self.arrays if len(rows)}
        if len(widths) > 1:
            raise InputError(f"{name}: found vectors of {' and '.join(map(str, sorted(widths)))} numbers")
        self.width: int | None = widths.pop() if widths else None

    def check_widths(self, others: "_Sets") -> None:
        if None not in (self.width, others.width) and self.width != others.width:
            raise InputError(f"similarity: found vectors of {self.width} and {others.width} numbers")

    def divisors(self) -> Floats:
        """What a sum over the vectors of each set is divided by for their mean."""
        return np.maximum(self.lengths, 1).astype(np.float32)

    def parts(self) -> Iterator[tuple[int, int]]:
        """The numbers of sets whose vectors are within a limit, or of one set: from and to. None if there are none."""
        begin = total = 0
        for index, length in enumerate(self.lengths.tolist() if self.width is not None else []):
            if begin < index and total + length > _ROWS:
                yield begin, index
                begin, total = index, 0
            total += length
        if self.width is not None:
            yield begin, len(self.arrays)

    def side_by_side(self, begin: int, end: int) -> tuple[Floats, Integers]:
        """The vectors of some sets, and where each begins and the last one ends."""
        rows = np.concatenate([array.reshape(-1, self.width or 1) for array in self.arrays[begin:end]])
        return rows, np.concatenate([[0], np.cumsum(self.lengths[begin:end])]).astype(np.int64)


def _arrays(name: str, value: Any) -> list[Floats]:
    if isinstance(value, list | tuple):
        arrays = [_floats(f"{name} {index}", rows) for index, rows in enumerate(value)]
        for index, rows in enumerate(arrays):
            if rows.ndim != 2:
                raise InputError(f"{name} {index}: found shape {list(rows.shape)}, expected [tokens, width]")
        return arrays
    array = _floats(name, value)
    if array.ndim not in (2, 3):
        raise InputError(f"{name}: found shape {list(array.shape)}, expected a list of arrays [tokens, width]")
    return [rows[rows.any(axis=1)] for rows in (array[None] if array.ndim == 2 else array)]


def _floats(name: str, value: Any) -> Floats:
    pattern = like(value)
    try:
        return np.asarray(value if pattern is None else pattern.to_numpy(), np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from None
