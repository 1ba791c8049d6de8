"""From logits to scores, and the labels that they are of."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..configuration import PretrainedConfig
from ..errors import ConfigError

Floats = npt.NDArray[np.float32]


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: Floats) -> Floats:
    with np.errstate(over="ignore"):  # 1 / infinity is as it should be
        scores: Floats = np.float32(1) / (1 + np.exp(-logits))
    return scores


def label_names(config: PretrainedConfig) -> list[Any]:
    """The name of each label, by number. Raises ConfigError where id2label lacks one."""
    names = config.id2label or {}
    missing = [number for number in range(len(names)) if number not in names]
    if missing:
        raise ConfigError(f"id2label: found no label {missing[0]}, expected labels 0 to {len(names) - 1}")
    return [names[number] for number in range(len(names))]
