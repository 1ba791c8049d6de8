"""What is done to sentence vectors after the model: normalising, quantising and comparing them."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

Floats = npt.NDArray[np.float32]

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")

# Below this many vectors their ranges say little about those of others.
_FEW = 100


def normalize(vectors: Floats) -> Floats:
    """Each row of [n, hidden] divided by max(its length, 1e-12)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled


def quantize(vectors: Floats, precision: str) -> npt.NDArray[Any]:
    """Vectors [n, hidden] in fewer bits, with the formulas of sentence-transformers' quantize_embeddings.

    int8, uint8: [n, hidden], 256 steps from the least to the greatest value of each column, so at least two rows are
    needed. binary (int8), ubinary (uint8): [n, ceil(hidden / 8)], one bit a value, set above zero. Raises InputError.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: found {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == "float32":
        return vectors
    if precision == "ubinary":
        return np.packbits(vectors > 0, axis=-1)
    if precision == "binary":
        return (np.packbits(vectors > 0, axis=-1) ^ 0x80).view(np.int8)
    kind = np.int8 if precision == "int8" else np.uint8
    if len(vectors) == 0:
        return np.zeros(vectors.shape, kind)
    if len(vectors) == 1:
        raise InputError(f"precision: {precision} takes its ranges from the texts, and one text has no range")
    if len(vectors) < _FEW:
        warnings.warn(f"{precision} takes its ranges from the texts, and {len(vectors)} are few", stacklevel=3)
    low = vectors.min(axis=0)
    steps = (vectors.max(axis=0) - low) / np.float32(255)
    steps[steps == 0] = 1
    values = np.clip(np.floor((vectors - low) / steps), 0, 255)
    steps_from_zero: npt.NDArray[Any] = (values - 128 if precision == "int8" else values).astype(kind)
    return steps_from_zero


def similarity(name: str, a: Any, b: Any) -> Floats:
    """Scores [n, m] of each row of a [n, hidden] against each of b [m, hidden]; a single vector is one row.

    name: "cosine", "dot", or "euclidean" or "manhattan", which are negative distances. Raises InputError.
    """
    left, right = _rows("a", a), _rows("b", b)
    if left.shape[1] != right.shape[1]:
        raise InputError(f"similarity: found vectors of {left.shape[1]} and {right.shape[1]} numbers")
    if name == "manhattan":
        return np.stack([-np.abs(row - right).sum(axis=1) for row in left]) if len(left) else left @ right.T
    if name == "cosine":
        left, right = normalize(left), normalize(right)
    if name == "euclidean":
        a64, b64 = left.astype(np.float64), right.astype(np.float64)  # the differences below cancel
        squares = (a64 * a64).sum(axis=1)[:, None] + (b64 * b64).sum(axis=1) - 2 * (a64 @ b64.T)
        scores: Floats = -np.sqrt(np.maximum(squares, 0)).astype(np.float32)
        return scores
    products: Floats = left @ right.T
    return products


def similarity_pairwise(name: str, a: Any, b: Any) -> Floats:
    """Scores [n] of each row of a [n, hidden] with that of b [n, hidden]. name, Raises: see `similarity`."""
    left, right = _rows("a", a), _rows("b", b)
    if left.shape != right.shape:
        raise InputError(f"similarity_pairwise: found shapes {list(left.shape)} and {list(right.shape)}")
    if name == "cosine":
        left, right = normalize(left), normalize(right)
    scores: Floats
    if name == "manhattan":
        scores = -np.abs(left - right).sum(axis=1)
    elif name == "euclidean":
        scores = -np.linalg.norm(left - right, axis=1)
    else:
        scores = (left * right).sum(axis=1)
    return scores


def _rows(name: str, vectors: Any) -> Floats:
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim not in (1, 2):
        raise InputError(f"{name}: found shape {array.shape}, expected [hidden] or [n, hidden]")
    return array if array.ndim == 2 else array[None]
