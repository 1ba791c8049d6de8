"""Dense modules: a linear layer over vectors, and a function of each number that it gives."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..scores import sigmoid
from ..settings import warn_about_unknown
from .activations import Activation, identity, relu
from .maxsim import products
from .tensors import read_tensors
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

    kind: ClassVar[str] = "Dense"

    def __init__(
        self,
        weight: Floats,
        bias: Floats | None = None,
        activation: Activation = identity,
        residual: Floats | None = None,
        adds_input: bool = False,
    ) -> None:
        """weight, residual: [out_features, in_features]. adds_input: to what comes out, as the weight residual does.

        activation: one that files have a name for.
        """
        self._weight, self._bias, self._activation = weight, bias, activation
        self._residual, self._adds_input = residual, adds_input
        self.out_features, self.in_features = weight.shape

    def __call__(self, rows: Floats, num_threads: int) -> Floats:
        out: Floats = products(rows, self._weight, num_threads)
        out = self._activation(out if self._bias is None else out + self._bias)
        if self._residual is not None:
            out = out + products(rows, self._residual, num_threads)
        return out + rows if self._adds_input else out

    def size(self, size: int) -> int | None:
        """Numbers of a vector that comes out, where `size` go in; None if it cannot take so many."""
        return self.out_features if size == self.in_features else None

    def config(self) -> dict[str, Any]:
        """The settings, as sentence-transformers saves them."""
        name = next(name for name, function in _ACTIVATIONS.items() if function is self._activation)
        where = "linear" if name == "Identity" else "activation"
        has_residual = self._adds_input or self._residual is not None
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "bias": self._bias is not None,
            "activation_function": f"torch.nn.modules.{where}.{name}",
            **({"use_residual": True} if has_residual else {}),
        }

    def tensors(self) -> Mapping[str, Floats]:
        """The weights, by the names that sentence-transformers gives them."""
        named = {"linear.weight": self._weight, "linear.bias": self._bias, "residual.weight": self._residual}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


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
    tensors = read_tensors(source, folder, shapes)
    return Dense(
        tensors["linear.weight"],
        tensors.get("linear.bias"),
        _activation(path, config.get("activation_function", "torch.nn.modules.activation.Tanh")),
        tensors.get("residual.weight"),
        adds_input,
    )


def _activation(path: str, name: Any) -> Activation:
    last = str(name).rpartition(".")[2]
    if name is None:
        return identity
    if not str(name).startswith("torch.nn.") or last not in _ACTIVATIONS:
        names = ", ".join(f"torch.nn.{known}" for known in _ACTIVATIONS)
        raise ConfigError(f"{path}: activation_function: found {name!r:.100}, supported: {names}")
    return _ACTIVATIONS[last]
