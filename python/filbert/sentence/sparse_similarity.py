"""Comparing sparse vectors, without making them dense.

Two vectors meet only at the columns that both have: every score here is a sum over those, and what each vector is by
itself. For all pairs, one side is sorted by column (an inverted index), and a row of the other looks its columns up.
Sums are of float64, and in the order of the columns, so a score is the same whatever else is compared.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..scores import Floats
from .sparse import Integers, SparseVector, SparseVectors, as_vectors

Doubles = npt.NDArray[np.float64]


class _Measure(NamedTuple):
    """What is summed where both have numbers; what each is by itself; the score of the sum and the two."""

    shared: Callable[[Doubles, Doubles], Doubles]
    alone: Callable[[Doubles], Doubles]
    score: Callable[[Doubles, Any, Any], Doubles]


def _cosine(products: Doubles, left: Any, right: Any) -> Doubles:
    lengths = np.sqrt(left * right)
    cosines: Doubles = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines


# An absolute difference is |a| + |b| less what they have in common, also where only one is there.
_MEASURES = {
    "dot": _Measure(np.multiply, np.square, lambda products, left, right: products),
    "cosine": _Measure(np.multiply, np.square, _cosine),
    "euclidean": _Measure(
        np.multiply, np.square, lambda products, left, right: -np.sqrt(np.maximum(left + right - 2 * products, 0))
    ),
    "manhattan": _Measure(
        lambda a, b: np.abs(a) + np.abs(b) - np.abs(a - b),
        np.abs,
        lambda common, left, right: np.minimum(common - (left + right), 0),
    ),
}


def similarity(name: str, a: Any, b: Any) -> Floats:
    """Scores [n, m] of each of n vectors with each of m; a single vector is one row.

    name: "cosine", "dot", or "euclidean" or "manhattan", which are negative distances. Raises InputError.
    """
    (_, left), (_, right) = _both(a, b)
    if len(left) > len(right):  # each row of one side is a step in Python
        return np.ascontiguousarray(similarity(name, right, left).T)
    measure = _MEASURES[name]
    scores = np.empty((len(left), len(right)), np.float32)
    order = np.argsort(right.indices, kind="stable")
    columns, rows, numbers = right.indices[order], right.rows[order], right.data[order].astype(np.float64)
    begins, ends = np.searchsorted(columns, left.indices), np.searchsorted(columns, left.indices, side="right")
    own, others = _alone(measure, left), _alone(measure, right)
    for row in range(len(left)):
        part = slice(left.indptr[row], left.indptr[row + 1])
        counts = ends[part] - begins[part]
        places = np.repeat(ends[part] - np.cumsum(counts), counts) + np.arange(counts.sum())
        terms = measure.shared(np.repeat(left.data[part].astype(np.float64), counts), numbers[places])
        scores[row] = measure.score(_sums(rows[places], terms, len(right)), own[row], others)
    return scores


def similarity_pairwise(name: str, a: Any, b: Any) -> Any:
    """The score of each of n vectors with the one of the other n at its place: float32 [n]; of single ones a number.

    Raises InputError.
    """
    (single, left), (also, right) = _both(a, b)
    if len(left) != len(right):
        raise InputError(f"similarity_pairwise: found {len(left)} and {len(right)} vectors, expected as many")
    measure = _MEASURES[name]
    keys, others = (side.rows * side.shape[1] + side.indices for side in (left, right))
    _, ours, theirs = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    terms = measure.shared(left.data[ours].astype(np.float64), right.data[theirs].astype(np.float64))
    shared = _sums(left.rows[ours], terms, len(left))
    scores: Floats = measure.score(shared, _alone(measure, left), _alone(measure, right)).astype(np.float32)
    return scores[0] if single and also else scores


def intersection(a: Any, b: Any) -> SparseVector | SparseVectors:
    """The products of the numbers of one vector with those of another, or of each row of others, where above zero.

    Raises InputError.
    """
    (single, left), (of_one, right) = _both(a, b)
    if not single:
        raise InputError(f"embeddings_1: found {len(left)} vectors, expected one")
    one = left[0]
    places = np.minimum(np.searchsorted(one.indices, right.indices), max(one.nnz - 1, 0))
    shared = one.indices[places] == right.indices if one.nnz else np.zeros(right.nnz, bool)
    products = right.data[shared] * one.data[places[shared]]
    above = products > 0
    rows, columns = right.rows[shared][above], right.indices[shared][above]
    result = SparseVectors.from_places(rows, columns, products[above], right.shape)
    return result[0] if of_one else result


def sparsity(embeddings: Any) -> dict[str, float]:
    """How many numbers of a vector are not zero, and the share of those that are, on average. Raises InputError."""
    _, vectors = as_vectors("embeddings", embeddings)
    if not all(vectors.shape):
        return {"active_dims": 0.0, "sparsity_ratio": 1.0}
    active = vectors.nnz / len(vectors)
    return {"active_dims": active, "sparsity_ratio": 1 - active / vectors.shape[1]}


def _both(a: Any, b: Any) -> tuple[tuple[bool, SparseVectors], tuple[bool, SparseVectors]]:
    left, right = as_vectors("embeddings_1", a), as_vectors("embeddings_2", b)
    if left[1].shape[1] != right[1].shape[1]:
        raise InputError(f"similarity: found vectors of {left[1].shape[1]} and {right[1].shape[1]} numbers")
    return left, right


def _alone(measure: _Measure, vectors: SparseVectors) -> Doubles:
    """For each vector, the sum over its own numbers."""
    return _sums(vectors.rows, measure.alone(vectors.data.astype(np.float64)), len(vectors))


def _sums(rows: Integers, terms: Doubles, count: int) -> Doubles:
    """The sum of the terms of each row, added up in their order."""
    return np.bincount(rows, terms, count).astype(np.float64, copy=False)
