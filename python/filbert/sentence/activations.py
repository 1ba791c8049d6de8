"""What turns the logits of a cross-encoder into scores: by the names that files have for it, or given by a caller."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError
from ..scores import sigmoid, softmax
from .vectors import Floats

Activation = Callable[[Any], Any]


def identity(logits: Floats) -> Floats:
    return logits


def log_softmax(logits: Floats) -> Floats:
    """Of each row of [n, labels]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    scores: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return scores


def log_sigmoid(logits: Floats) -> Floats:
    scores: Floats = np.minimum(logits, 0) - np.log1p(np.exp(-np.abs(logits)))
    return scores


def relu(logits: Floats) -> Floats:
    return np.maximum(logits, 0)


_FUNCTIONS: dict[str, Activation] = {
    "activation.LogSigmoid": log_sigmoid,
    "activation.LogSoftmax": log_softmax,
    "activation.ReLU": relu,
    "activation.Sigmoid": sigmoid,
    "activation.Softmax": softmax,
    "activation.Tanh": np.tanh,
    "linear.Identity": identity,
}
_BY_PATH = {
    **{f"torch.nn.modules.{path}": function for path, function in _FUNCTIONS.items()},
    **{f"torch.nn.{path.partition('.')[2]}": function for path, function in _FUNCTIONS.items()},
}


def named_activation(where: str, path: Any) -> Activation:
    """The function for the path of a class of PyTorch, which `where` has. Raises ConfigError for others."""
    if not isinstance(path, str) or path not in _BY_PATH:
        names = ", ".join(sorted(f"torch.nn.modules.{path}" for path in _FUNCTIONS))
        raise ConfigError(f"{where}: found {path!r:.100}, supported: {names}; activation_fn=... takes any function")
    return _BY_PATH[path]


def path_of(function: Activation) -> str:
    """The path that files have for a function, or for an object of the class at that path. Raises InputError."""
    named = (path for path, known in _FUNCTIONS.items() if known is function)
    path = next(
        (f"torch.nn.modules.{path}" for path in named), f"{type(function).__module__}.{type(function).__name__}"
    )
    # A class alone says nothing of the axis of a softmax, which is the last.
    if path not in _BY_PATH or getattr(function, "dim", None) not in (None, 1, -1):
        names = ", ".join(sorted(path.partition(".")[2] for path in _FUNCTIONS))
        raise InputError(
            f"activation_fn: found {function!r:.100}, which files have no name for; they have torch.nn's: {names}"
        )
    return path


def activate(function: Activation, logits: Floats) -> Floats:
    """The scores that a function makes of logits [n, labels]: it gets a tensor if it is one of PyTorch's own.

    Raises InputError if it does not give one row a pair.
    """
    result = _with_tensor(function, logits) if _is_torch(function) else function(logits)
    scores = np.asarray(result, np.float32)
    if scores.ndim == 0 or len(scores) != len(logits):
        raise InputError(
            f"activation_fn: gave shape {list(scores.shape)} for {list(logits.shape)}, expected a row each"
        )
    return scores


def _is_torch(function: Activation) -> bool:
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    return isinstance(function, torch.nn.Module) or str(getattr(function, "__module__", "")).split(".")[0] == "torch"


def _with_tensor(function: Activation, logits: Floats) -> Any:
    import torch

    with torch.inference_mode():
        return function(torch.from_numpy(logits)).float().cpu().numpy()
