"""How far outputs are from those of a reference: errors, what they may be, and cosines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import FilbertError

# Given its inputs without any error, the layer norm at the end of an encoder rounds to float32 seven times on the way
# to an output: the mean, the difference from it, the variance, its root, the quotient, the product with the weight and
# the sum with the bias, by half an ulp each, and an ulp of a value is at most eps times that value. With another half
# for a pooling or a head these are four ulps: less than that says nothing about the layers below. Where outputs are
# few, torch may by luck be that near, and twice its error would be no measure: of 1120 outputs of small random models
# 18 are beyond that, and one beyond that and four ulps.
FLOOR_ULPS = 4
_EPS = float(np.finfo(np.float32).eps)

Arrays = Sequence[npt.NDArray[Any]]
LeastAndMean = tuple[float, float]


@dataclass(frozen=True)
class Deviation:
    """One output over all texts. Errors are differences from float64, filbert's and those of torch's float32.

    allowed: what max_error may be: twice torch's, and FLOOR_ULPS of the largest value.
    same_bits: whether every text gives the bits alone that it gives in a batch.
    cosines: by dtype, the least and the mean of its rows' with float32. A row is a token's of last_hidden_state, else
        a text's.
    """

    output: str
    values: int
    max_error: float
    rms_error: float
    torch_max_error: float
    torch_rms_error: float
    allowed: float
    same_bits: bool
    cosines: dict[str, LeastAndMean] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """What is beyond tolerance, a line each. NaN is."""
        lines = []
        if not self.max_error <= self.allowed:
            lines.append(f"{self.output}: the largest error is {self.max_error:.2e}, allowed is {self.allowed:.2e}")
        if not self.same_bits:
            lines.append(f"{self.output}: a text alone does not give the bits that it gives in a batch")
        return lines


def deviation(
    output: str,
    found: Arrays,
    single: Arrays,
    double: Arrays,
    same_bits: bool,
    cosines: dict[str, LeastAndMean],
) -> Deviation:
    """Of what filbert found from `double`, beside that of `single`, torch's float32; an array a text.

    Raises FilbertError for arrays of another shape.
    """
    values, expected = _rows(found), _rows(double)
    if values.shape != expected.shape:
        raise FilbertError(f"{output}: filbert gives an array {values.shape}, the reference one {expected.shape}")
    error, torch_error = np.abs(values - expected), np.abs(_rows(single) - expected)
    return Deviation(
        output=output,
        values=expected.size,
        max_error=float(error.max()),
        rms_error=_root_mean_square(error),
        torch_max_error=float(torch_error.max()),
        torch_rms_error=_root_mean_square(torch_error),
        allowed=float(2 * torch_error.max() + FLOOR_ULPS * _EPS * np.abs(expected).max()),
        same_bits=same_bits,
        cosines=cosines,
    )


def least_and_mean_cosine(found: Arrays, exact: Arrays) -> LeastAndMean:
    """Over the rows of both; an array a text."""
    a, b = _rows(found), _rows(exact)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    return float(cosines.min()), float(cosines.mean())


def table(deviations: Sequence[Deviation]) -> list[str]:
    """The lines that `filbert verify` prints for them."""
    dtypes = list(dict.fromkeys(dtype for each in deviations for dtype in each.cosines))
    titles = ("max error", "torch's", "allowed", "RMS error", "torch's")
    heading = f"{'output':<19}" + "".join(f"{title:>11}" for title in titles) + f"{'same bits':>11}"
    lines = [heading + "".join(f"{dtype + ' cosine':>17}" for dtype in dtypes)]
    for each in deviations:
        errors = (each.max_error, each.torch_max_error, each.allowed, each.rms_error, each.torch_rms_error)
        line = f"{each.output:<19}" + "".join(f"{error:>11.2e}" for error in errors)
        line += f"{'yes' if each.same_bits else 'NO':>11}"
        pairs = [f"{least:.4f} {mean:.4f}" for least, mean in (each.cosines[dtype] for dtype in dtypes)]
        lines.append(line + "".join(f"{pair:>17}" for pair in pairs))
    return lines


def _rows(arrays: Arrays) -> npt.NDArray[np.float64]:
    """Rows of all texts."""
    return np.concatenate([np.atleast_2d(array) for array in arrays]).astype(np.float64)


def _root_mean_square(errors: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(errors).mean()))
