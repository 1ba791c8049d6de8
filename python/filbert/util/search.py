"""The nearest of many vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import count
from ..errors import InputError
from ..libraries import like
from ..scores import Floats
from ..sentence.vectors import as_rows, normalize
from .similarities import cos_sim, dot_score, is_sparse

Integers = npt.NDArray[np.int64]
ScoreFunction = Callable[[Any, Any], Any]

# Scores that are in memory at a time: 64 MB.
SCORES_AT_ONCE = 1 << 24

_NO_KEY = np.iinfo(np.int64).min
_LOW_BITS = np.int64(0xFFFFFFFF)


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: ScoreFunction = cos_sim,
) -> list[list[dict[str, int | float]]]:
    """For each query, the vectors of a corpus with the largest scores.

    Args:
        query_embeddings: vectors [n, hidden], or one [hidden]; arrays, tensors, lists or sparse rows.
        corpus_embeddings: vectors [m, hidden].
        query_chunk_size, corpus_chunk_size: vectors compared at a time, at most: they bound memory, together with a
            limit of 64 MB of scores. With `cos_sim` and `dot_score` no result depends on them.
        top_k: how many vectors to find, if there are so many.
        score_function: of two arrays [a, hidden] and [b, hidden] the scores [a, b]; `cos_sim`, `dot_score`, or any
            function of NumPy arrays.

    Returns:
        For each query a list of {"corpus_id": the number of a vector, "score": a float}, the largest score first, of
        equal ones the lower number.

    Raises:
        InputError: for what is no vectors, vectors of two widths, and scores that are NaN. MemoryError.
    """
    rows, columns = count("query_chunk_size", query_chunk_size), count("corpus_chunk_size", corpus_chunk_size)
    queries, corpus = rows_of("query_embeddings", query_embeddings), rows_of("corpus_embeddings", corpus_embeddings)
    best = Best(len(queries), min(count("top_k", top_k), len(corpus)))
    columns = block(columns, min(rows, len(queries)))
    for first in range(0, len(corpus), columns):
        part, compare = prepared(score_function, corpus[first : first + columns])
        for begin in range(0, len(queries), rows):
            best.add(compare(queries[begin : begin + rows], part), first, begin)
    return [
        [{"corpus_id": index, "score": score} for index, score in zip(ids, scores, strict=True)]
        for ids, scores in zip(best.ids().tolist(), best.scores().tolist(), strict=True)
    ]


def rows_of(name: str, value: Any) -> Any:
    """Vectors that can be cut into parts: float32 [n, hidden], or sparse rows. Raises InputError."""
    if not is_sparse(value):
        return as_rows(name, value)
    from ..sentence.sparse import as_vectors

    return as_vectors(name, value)[1]


def block(most: int, others: int) -> int:
    """How many vectors, of `most`, are compared with `others` at a time."""
    return max(1, min(most, SCORES_AT_ONCE // max(1, others)))


def prepared(score_function: ScoreFunction, part: Any) -> tuple[Any, ScoreFunction]:
    """Vectors, and what compares others with them: cosines are dot products once both have length 1."""
    if score_function is not cos_sim or is_sparse(part):
        return part, score_function
    return normalize(part), lambda others, scaled: dot_score(normalize(others), scaled)


class Best:
    """The largest scores of some rows and their columns, while blocks of columns come in.

    A score and its column are one integer, larger for a larger score and, of equal ones, for a lower column. So the
    order is total, and the largest are the same in whatever blocks they come.
    """

    def __init__(self, rows: int, most: int) -> None:
        self._keys: Integers = np.full((rows, most), _NO_KEY)

    def add(self, scores: Any, column: int, row: int = 0) -> None:
        """Scores [n, m] of the rows and columns from those numbers on. Raises InputError for NaN."""
        pattern = like(scores)
        block = np.asarray(scores if pattern is None else pattern.to_numpy(), np.float32)
        if np.isnan(block).any():
            raise InputError("score_function: found NaN, expected scores that have an order: are all vectors finite?")
        most, begin = self._keys.shape[1], 0
        while most and begin < block.shape[1]:
            # Of as many columns as came before, few are better than the best of these.
            end = begin + max(column + begin, 2 * most)
            self._merge(block[:, begin:end], column + begin, slice(row, row + len(block)))
            begin = end

    def _merge(self, scores: Floats, column: int, rows: slice) -> None:
        least = self._keys[rows].min(axis=1, keepdims=True)
        is_full = least != _NO_KEY
        candidates, columns = np.nonzero(scores >= np.where(is_full, _scores(least), -np.inf))
        counts = np.bincount(candidates, minlength=len(scores))
        found = np.full((len(scores), int(counts.max(initial=0))), _NO_KEY)
        places = np.arange(len(candidates)) - np.repeat(np.cumsum(counts) - counts, counts)
        found[candidates, places] = _keys(scores[candidates, columns], column + columns)
        most = self._keys.shape[1]
        self._keys[rows] = np.partition(np.concatenate([self._keys[rows], found], axis=1), -most, axis=1)[:, -most:]

    def ids(self) -> Integers:
        """Columns [rows, most], that of the largest score first. As many columns as that have to have come in."""
        ids: Integers = _LOW_BITS - (self._sorted() & _LOW_BITS)
        return ids

    def scores(self) -> Floats:
        """Scores [rows, most], the largest first."""
        return _scores(self._sorted())

    def _sorted(self) -> Integers:
        largest_first: Integers = np.sort(self._keys, axis=1)[:, ::-1]
        return largest_first


def _keys(scores: Floats, columns: Integers) -> Integers:
    order = _folded((scores + np.float32(0)).view(np.int32))  # the sum turns -0.0 into 0.0, which it is equal to
    keys: Integers = order.astype(np.int64) << 32 | (_LOW_BITS - columns)
    return keys


def _scores(keys: Integers) -> Floats:
    return _folded((keys >> 32).astype(np.int32)).view(np.float32)


def _folded(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The bits of floats as integers of the same order, and back: those of negative numbers ascend downwards."""
    folded: npt.NDArray[np.int32] = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return folded
