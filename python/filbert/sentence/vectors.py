"""What is done to sentence vectors after the model: normalising, quantising and comparing them."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..libraries import like
from ..scores import Floats as Floats
from ..settings import outside
from .maxsim import products

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")

# Below this many vectors their ranges say little about those of others.
_FEW = 100
# Numbers of one temporary array of differences.
_DIFFERENCES = 1 << 22


def normalize(vectors: Floats) -> Floats:
    """Each vector of [..., hidden] divided by max(its length, 1e-12)."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


def quantize(vectors: Floats, precision: str, ranges: Any = None) -> npt.NDArray[Any]:
    """Vectors in fewer bits, with the formulas of sentence-transformers' quantize_embeddings.

    Args:
        vectors: float32 [n, hidden], or one [hidden].
        precision: "float32": as they are. "int8", "uint8": [n, hidden], 256 steps from the least to the greatest value
            of each column; what is beyond takes the nearest step. "binary" (int8), "ubinary" (uint8):
            [n, ceil(hidden / 8)], one bit a value, set above zero.
        ranges: [2, hidden], the least and the greatest value of each column, for "int8" and "uint8". None takes those
            of `vectors`, at least two then: the integers of a vector depend on what it is quantised with.

    Raises:
        InputError: an unknown precision; ranges of another shape; one vector without ranges.
    """
    if known_precision(precision) == "float32":
        return vectors
    if precision == "ubinary":
        return np.packbits(vectors > 0, axis=-1)
    if precision == "binary":
        return (np.packbits(vectors > 0, axis=-1) ^ 0x80).view(np.int8)
    kind = np.int8 if precision == "int8" else np.uint8
    if len(vectors) == 0:
        return np.zeros(vectors.shape, kind)
    low, high = _ranges_of(vectors, precision) if ranges is None else _checked(ranges, vectors.shape[-1])
    steps = (high - low) / np.float32(255)
    steps = np.where(steps == 0, np.float32(1), steps)
    values = np.clip(np.floor((vectors - low) / steps), 0, 255)
    steps_from_zero: npt.NDArray[Any] = (values - 128 if precision == "int8" else values).astype(kind)
    return steps_from_zero


def quantize_each(arrays: list[Floats], precision: str, ranges: Any = None) -> list[npt.NDArray[Any]]:
    """Arrays [tokens, hidden], quantised as one: without `ranges`, with those of all their vectors. See `quantize`."""
    if precision == "float32" or not arrays:
        return list(arrays)
    ends = np.cumsum([len(array) for array in arrays])
    return np.split(quantize(np.concatenate(arrays), precision, ranges), ends[:-1])


def known_precision(precision: str | None) -> str:
    """`precision`, "float32" for None. Raises InputError for what is none of `PRECISIONS`."""
    if precision is None:
        return "float32"
    if precision not in PRECISIONS:
        raise InputError(f"precision: found {precision!r:.100}, expected one of {', '.join(PRECISIONS)}")
    return precision


def similarity(name: str, a: Any, b: Any) -> Floats:
    """Scores [n, m] of each row of a [n, hidden] against each of b [m, hidden]; a single vector is one row.

    name: "cosine", "dot", or "euclidean" or "manhattan", which are negative distances. Of "cosine" and "dot" a score
    is bit-identical whatever other rows there are. Raises InputError.
    """
    left, right = as_rows("embeddings1", a), as_rows("embeddings2", b)
    _check_widths(left, right)
    if name == "manhattan":
        return _manhattan(left, right)
    if name == "cosine":
        left, right = normalize(left), normalize(right)
    if name == "euclidean":
        a64, b64 = left.astype(np.float64), right.astype(np.float64)  # the differences below cancel
        squares = (a64 * a64).sum(axis=1)[:, None] + (b64 * b64).sum(axis=1) - 2 * (a64 @ b64.T)
        scores: Floats = -np.sqrt(np.maximum(squares, 0)).astype(np.float32)
        return scores
    return products(left, right)


def similarity_pairwise(name: str, a: Any, b: Any) -> Floats:
    """The score of each row of a [n, hidden] with the row of b at its place: float32 [n]; of two vectors a number.

    name: see `similarity`. Raises InputError.
    """
    left, right = as_vectors("embeddings1", a), as_vectors("embeddings2", b)
    _check_widths(left, right)
    if left.shape != right.shape and left.ndim == right.ndim:
        raise InputError(f"similarity_pairwise: found shapes {list(left.shape)} and {list(right.shape)}, expected one")
    if name == "cosine":
        left, right = normalize(left), normalize(right)
    scores: Floats
    if name == "manhattan":
        scores = -np.abs(left - right).sum(axis=-1)
    elif name == "euclidean":
        scores = -np.linalg.norm(left - right, axis=-1)
    else:
        scores = (left * right).sum(axis=-1)
    return scores


def as_vectors(name: str, value: Any) -> Floats:
    """float32 [n, hidden] or [hidden] of arrays of NumPy, PyTorch (on any device, with a gradient too) and CuPy, and
    of lists of numbers or of vectors. Raises InputError, which calls the value `name`.
    """
    try:
        if isinstance(value, list | tuple) and any(like(item) is not None for item in value):
            array = np.stack([as_vectors(name, item) for item in value])
        else:
            pattern = like(value)
            array = np.asarray(value if pattern is None else pattern.to_numpy(), np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: found {type(value).__name__}, expected vectors: {error}") from None
    if array.ndim not in (1, 2):
        raise InputError(f"{name}: found shape {list(array.shape)}, expected [hidden] or [n, hidden]")
    return array


def as_rows(name: str, value: Any) -> Floats:
    """The same as `as_vectors`, always [n, hidden]: a single vector is one row, and an empty list none."""
    array = as_vectors(name, value)
    if array.ndim == 2:
        return array
    return array[None] if len(array) else array.reshape(0, 0)


def _ranges_of(vectors: Floats, precision: str) -> tuple[Any, Any]:
    if vectors.ndim == 1 or len(vectors) == 1:
        raise InputError(f"precision: {precision} takes its ranges from the vectors, and one has none: pass ranges")
    if len(vectors) < _FEW:
        warnings.warn(
            f"{precision} takes its ranges from the vectors, and {len(vectors)} are few: pass ranges",
            stacklevel=outside(),
        )
    return vectors.min(axis=0), vectors.max(axis=0)


def _checked(ranges: Any, hidden: int) -> Floats:
    array = np.asarray(ranges, np.float32)
    if array.shape != (2, hidden):
        raise InputError(f"ranges: found shape {list(array.shape)}, expected {[2, hidden]}: least and greatest values")
    return array


def _check_widths(left: Floats, right: Floats) -> None:
    if left.shape[-1] != right.shape[-1] and left.size and right.size:
        raise InputError(f"similarity: found vectors of {left.shape[-1]} and {right.shape[-1]} numbers")


def _manhattan(left: Floats, right: Floats) -> Floats:
    scores = np.zeros((len(left), len(right)), np.float32)
    step = max(1, _DIFFERENCES // max(1, right.size))
    for begin in range(0, len(left), step):
        scores[begin : begin + step] = -np.abs(left[begin : begin + step, None] - right).sum(axis=-1)
    return scores
