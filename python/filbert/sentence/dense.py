"""Dense modules: a linear layer over vectors, and a function of each number that it gives."""

from typing import Any

import numpy as np

from ..errors import ConfigError, WeightsError
from ..hub import Source
from ..jsonfile import read_object
from ..scores import sigmoid
from ..settings import warn_about_unknown
from ..weights import as_array, open_weights
from .activations import Activation, identity, relu
from .maxsim import products
from .transformer import optional, within
from .vectors import Floats

_KNOWN = {"in_features", "out_features", "bias", "activation_function", "use_residual"}
_NAMES = ("module_input_name", "module_output_name")


def _silu(values: Floats) -> Floats:
    return values * sigmoid(values)


# By the last name of their classes in PyTorch.
_ACTIVATIONS: dict[str, Activation] = {
    "Identity": identity,
    "ReLU": relu,
    "SiLU": _silu,
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
}


class Dense:
    """Vectors [n, in_features] to vectors [n, out_features], each of the same bits whatever the others are."""

    def __init__(
        self,
        weight: Floats,
        bias: Floats | None = None,
        activation: Activation = identity,
        residual: Floats | None = None,
        adds_input: bool = False,
    ) -> None:
        """weight, residual: [out_features, in_features]. adds_input: to what comes out, as the weight residual does."""
        self._weight, self._bias, self._activation = weight, bias, activation
        self._residual, self._adds_input = residual, adds_input
        self.out_features, self.in_features = weight.shape

    def __call__(self, rows: Floats, num_threads: int = 0) -> Floats:
        out: Floats = products(rows, self._weight, num_threads)
        out = self._activation(out if self._bias is None else out + self._bias)
        if self._residual is not None:
            out = out + products(rows, self._residual, num_threads)
        return out + rows if self._adds_input else out


def read_dense(source: Source, folder: str, names: tuple[str, ...]) -> Dense:
    """The Dense module in a folder of a model.

    names: what it may say that it reads and writes. Raises ConfigError, WeightsError and OSError.
    """
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    warn_about_unknown(path, config, _KNOWN | {*_NAMES})
    found = {key: config[key] for key in _NAMES if config.get(key) is not None}
    if len({*found.values()}) > 1 or not {*found.values()} <= {*names}:
        raise ConfigError(f"{path}: found {found}, supported: {' or '.join(names)}, the same for both")
    sizes = [optional(path, config, key, int) for key in ("out_features", "in_features")]
    if None in sizes:
        raise ConfigError(f"{path}: found no in_features or no out_features")
    has_bias = optional(path, config, "bias", bool) is not False
    has_residual = optional(path, config, "use_residual", bool) is True
    adds_input = has_residual and sizes[0] == sizes[1]
    shapes = {"linear.weight": tuple(sizes)}
    if has_bias:
        shapes["linear.bias"] = (sizes[0],)
    if has_residual and not adds_input:
        shapes["residual.weight"] = tuple(sizes)
    tensors = _tensors(source, folder, shapes)
    return Dense(
        tensors["linear.weight"],
        tensors.get("linear.bias"),
        _activation(path, config.get("activation_function", "torch.nn.modules.activation.Tanh")),
        tensors.get("residual.weight"),
        adds_input,
    )


def read_tensor(path: str, name: str) -> Floats:
    """A copy of one tensor of a weights file, in float32. Raises WeightsError and OSError."""
    weights = open_weights(path)
    if name not in weights.names():
        raise WeightsError(f"{path}: found tensors {', '.join(weights.names())}, expected {name}")
    return np.array(as_array(weights, name), np.float32)


def _tensors(source: Source, folder: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    candidates = [within(folder, name) for name in ("model.safetensors", "pytorch_model.bin")]
    path = next(filter(None, map(source.find, candidates)), None)
    if path is None:
        raise source.missing(*candidates)
    found = open_weights(path).names()
    if set(found) != set(shapes):
        raise WeightsError(f"{path}: found tensors {', '.join(found)}, expected {', '.join(shapes)}")
    tensors = {name: read_tensor(path, name) for name in shapes}
    for name, shape in shapes.items():
        if (actual := tensors[name].shape) != shape:
            raise WeightsError(f"{path}: tensor {name!r}: found shape {list(actual)}, expected {list(shape)}")
    return tensors


def _activation(path: str, name: Any) -> Activation:
    last = str(name).rpartition(".")[2]
    if name is None:
        return identity
    if not str(name).startswith("torch.nn.") or last not in _ACTIVATIONS:
        names = ", ".join(f"torch.nn.{known}" for known in _ACTIVATIONS)
        raise ConfigError(f"{path}: activation_function: found {name!r:.100}, supported: {names}")
    return _ACTIVATIONS[last]
