"""Vectors made shorter, smaller, or of length 1."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import optional_count
from ..errors import InputError
from ..libraries import like
from ..scores import Floats
from ..sentence.alike import alike
from ..sentence.vectors import as_vectors, normalize, quantize


def normalize_embeddings(embeddings: Any) -> Any:
    """Each vector of [n, hidden] or [hidden] divided by max(its length, 1e-12): float32.

    Tensors give a tensor on their device, anything else NumPy. Raises InputError.
    """
    return alike(normalize(as_vectors("embeddings", embeddings)), embeddings)


def truncate_embeddings(embeddings: Any, truncate_dim: int | None) -> Any:
    """The first numbers of each vector: `embeddings[..., :truncate_dim]`, an array of the same kind; of lists float32.

    Raises InputError for a `truncate_dim` that is no integer above 0, and lists that are no vectors; None keeps all.
    """
    size = optional_count("truncate_dim", truncate_dim)
    if isinstance(embeddings, list | tuple):
        embeddings = as_vectors("embeddings", embeddings)
    return embeddings[..., :size]


def quantize_embeddings(
    embeddings: Any, precision: str, ranges: Any = None, calibration_embeddings: Any = None
) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    """Vectors in fewer bits.

    Args:
        embeddings: floating-point vectors [n, hidden] or [hidden], or a list of arrays [tokens, hidden], which are
            quantised with the same ranges.
        precision: "float32", "int8", "uint8", "binary" or "ubinary"; see `filbert.sentence.vectors.quantize`.
        ranges: [2, hidden], the least and the greatest value of each column, for "int8" and "uint8".
        calibration_embeddings: [m, hidden], vectors whose least and greatest values are taken where there are no
            `ranges`. None takes those of `embeddings`: then the same vector has other integers in another batch.

    Returns:
        Integers [n, hidden] or, one bit a value, [n, ceil(hidden / 8)]; of a list of arrays, a list.

    Raises:
        InputError: an unknown precision, integers, ranges of another shape, or a single vector without ranges.
    """
    if isinstance(embeddings, list):
        if not embeddings:
            return []
        if getattr(embeddings[0], "ndim", 0) == 2:
            arrays = [_floats(f"embeddings {index}", array) for index, array in enumerate(embeddings)]
            if precision in ("int8", "uint8") and ranges is None and calibration_embeddings is None:
                calibration_embeddings = np.concatenate(arrays)
            return [_quantized(array, precision, ranges, calibration_embeddings) for array in arrays]
    return _quantized(_floats("embeddings", embeddings), precision, ranges, calibration_embeddings)


def _quantized(vectors: Floats, precision: str, ranges: Any, calibration_embeddings: Any) -> npt.NDArray[Any]:
    if ranges is None and calibration_embeddings is not None and precision in ("int8", "uint8"):
        known = _floats("calibration_embeddings", calibration_embeddings)
        if known.ndim == 2 and len(known):
            ranges = np.stack([known.min(axis=0), known.max(axis=0)])
        elif len(vectors):
            raise InputError(f"calibration_embeddings: found shape {list(known.shape)}, expected [m, hidden]")
    return quantize(vectors, precision, ranges)


def _floats(name: str, value: Any) -> Floats:
    pattern = like(value)
    kind = getattr(value if pattern is None else pattern.to_numpy(), "dtype", np.dtype(float)).kind
    if kind != "f":
        raise InputError(f"{name}: found integers, expected floating-point vectors; what is quantised is so once")
    return as_vectors(name, value)
