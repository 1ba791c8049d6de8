"""What modules do with the vectors of texts, one after the other: Dense, Normalize, LayerNorm, Dropout."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..settings import warn_about_unknown
from .dense import read_dense
from .tensors import read_tensors
from .transformer import optional, within
from .vectors import Floats, normalize

KINDS = ("Dense", "Normalize", "LayerNorm", "Dropout")


class Step(Protocol):
    """Vectors [n, in] to vectors [n, out], each of the same bits whatever the others are."""

    kind: ClassVar[str]

    def __call__(self, rows: Floats, num_threads: int) -> Floats: ...

    def size(self, size: int) -> int | None:
        """Numbers of a vector that comes out, where `size` go in; None if it cannot take so many."""

    def config(self) -> dict[str, Any]:
        """The settings, as sentence-transformers saves them."""

    def tensors(self) -> Mapping[str, Floats]:
        """The weights, by the names that sentence-transformers gives them."""


class _SameSize:
    def size(self, size: int) -> int | None:
        return size

    def config(self) -> dict[str, Any]:
        return {}

    def tensors(self) -> Mapping[str, Floats]:
        return {}


class Normalize(_SameSize):
    """To length 1. It has no files."""

    kind: ClassVar[str] = "Normalize"

    def __call__(self, rows: Floats, num_threads: int) -> Floats:
        return normalize(rows)


class Dropout(_SameSize):
    """Nothing: it is for training."""

    kind: ClassVar[str] = "Dropout"

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, rows: Floats, num_threads: int) -> Floats:
        return rows

    def config(self) -> dict[str, Any]:
        return {"dropout": self._share}


class LayerNorm(_SameSize):
    """Layer normalisation (Ba et al., arXiv:1607.06450) with PyTorch's epsilon, 1e-5."""

    kind: ClassVar[str] = "LayerNorm"

    def __init__(self, weight: Floats, bias: Floats) -> None:
        self._weight, self._bias = weight, bias

    def __call__(self, rows: Floats, num_threads: int) -> Floats:
        centred = rows - rows.mean(axis=1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
        scaled: Floats = centred / deviation * self._weight + self._bias
        return scaled

    def size(self, size: int) -> int | None:
        return size if size == len(self._weight) else None

    def config(self) -> dict[str, Any]:
        return {"dimension": len(self._weight)}

    def tensors(self) -> Mapping[str, Floats]:
        return {"norm.weight": self._weight, "norm.bias": self._bias}


def read_step(source: Source, kind: str, folder: str) -> Step:
    """The module of that kind (one of KINDS) in a folder of a model. Raises ConfigError, WeightsError and OSError."""
    if kind == "Dense":
        return read_dense(source, folder, ("sentence_embedding",))
    if kind == "LayerNorm":
        return _read_layer_norm(source, folder)
    if kind == "Dropout":
        path = source.find(within(folder, "config.json"))
        config = {} if path is None else read_object(path)
        share = config.get("dropout", 0.2)
        return Dropout(share if isinstance(share, int | float) else 0.2)
    check_normalize(source, folder)
    return Normalize()


def check_normalize(source: Source, folder: str) -> None:
    """Raises ConfigError if the Normalize module of that folder is for something other than sentence vectors."""
    path = source.find(within(folder, "config.json"))
    config = read_object(path) if path is not None else {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise ConfigError(f"{path}: {key}: found {config[key]!r}, supported: 'sentence_embedding'")
    if path is not None:
        warn_about_unknown(path, config, {"module_input_name", "module_output_name"})


def _read_layer_norm(source: Source, folder: str) -> LayerNorm:
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    warn_about_unknown(path, config, {"dimension"})
    dimension = optional(path, config, "dimension", int)
    if dimension is None:
        raise ConfigError(f"{path}: found no dimension")
    tensors = read_tensors(source, folder, {"norm.weight": (dimension,), "norm.bias": (dimension,)})
    return LayerNorm(tensors["norm.weight"], tensors["norm.bias"])
