"""From logits to scores."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def sigmoid(logits: Floats) -> Floats:
    small = np.exp(-np.abs(logits))
    scores: Floats = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    return scores


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return scores
