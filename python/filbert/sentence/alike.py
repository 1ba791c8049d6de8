"""Scores in the library of the vectors that they are of."""

from typing import Any

import numpy as np

from ..libraries import like


def alike(scores: Any, *vectors: Any) -> Any:
    """The scores as an array of PyTorch or CuPy, on its device, if some vectors are one or a list of such; else as is.

    The first vectors that are decide.
    """
    pattern = next(filter(None, map(_pattern, vectors)), None)
    return scores if pattern is None else pattern.from_numpy(np.asarray(scores))


def _pattern(vectors: Any) -> Any:
    return like(vectors[0] if isinstance(vectors, list | tuple) and vectors else vectors)
