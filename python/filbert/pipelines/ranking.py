"""The best of many."""

from typing import Any

import numpy as np
import numpy.typing as npt


def highest(values: npt.NDArray[Any], number: int) -> npt.NDArray[np.int64]:
    """Indices of the `number` highest of values [n], from the highest down, and from the first of equals."""
    if number >= len(values):
        indices = np.arange(len(values))
    else:
        border = np.partition(values, -number)[-number]
        indices = np.flatnonzero(~(values < border))  # with what is no number, which would compare as neither
    return indices[np.argsort(-values[indices], kind="stable")[:number]]
