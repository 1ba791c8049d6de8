"""Logistic regression on vectors of texts: scikit-learn finds the weights, and what it finds is one linear layer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .labels import Codes
from .scores import Floats

Doubles = npt.NDArray[np.float64]

# What C="auto" chooses from.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS = 5
_MAX_ITERATIONS = 1000


def fit_logistic(vectors: Floats, codes: Codes, strength: float | None) -> tuple[Floats, Floats, float]:
    """A layer whose softmax is the chance of each class: weight [classes, size], bias [classes], and the C it has.

    The vectors are centred, and scaled by one number so that the mean square of their lengths is 1: C then means the
    same for every model, whatever the length and the number of dimensions of its vectors. Scaling each dimension by
    itself gives no better classifiers (`bench/classify.py`), and would make much of dimensions that say little.

    Args:
        vectors: float32 [n, size].
        codes: the class of each, from 0, every class at least once.
        strength: C, the inverse of the strength of the L2 penalty. None: that of STRENGTHS whose chances are best (log
            loss) in cross-validation.

    Raises:
        ImportError: there is no scikit-learn. InputError: cross-validation needs two texts of each class.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred: Doubles = vectors - mean
    # Of each dimension here, which is what the solver likes; C below is what makes it that of the whole vector.
    deviation = np.sqrt(np.mean(np.square(centred))) or 1.0
    scaled = centred / deviation
    if strength is None:
        strength = _best(scaled, codes)
    model = _regression(strength, vectors.shape[1]).fit(scaled, codes)
    weight, bias = model.coef_ / deviation, model.intercept_
    if len(weight) == 1:  # of two classes scikit-learn has the log of their odds
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    # scikit-learn's are in Fortran's order, and safetensors writes memory as it lies.
    return weight.astype(np.float32, order="C"), (bias - weight @ mean).astype(np.float32), strength


def check_installed() -> None:
    """Raises ImportError if there is no scikit-learn."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ImportError('fitting a classifier takes scikit-learn: pip install "filbert[train]"') from None


def _regression(strength: float, size: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength / size, max_iter=_MAX_ITERATIONS)


def _best(scaled: Doubles, codes: Codes) -> float:
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    fewest = int(np.bincount(codes).min())
    if fewest < 2:
        raise InputError("C: 'auto' needs two texts of each label or more, found one of some label")
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
    losses = {}
    for strength in STRENGTHS:
        model = _regression(strength, scaled.shape[1])
        losses[strength] = -float(np.mean(cross_val_score(model, scaled, codes, cv=folds, scoring="neg_log_loss")))
    return min(losses, key=lambda strength: losses[strength])
