"""The weights of a module that is no encoder."""

import numpy as np

from ..errors import WeightsError
from ..hub import Source
from ..weights import as_array, open_weights
from .transformer import within
from .vectors import Floats


def read_tensor(path: str, name: str) -> Floats:
    """A copy of one tensor of a weights file, in float32. Raises WeightsError and OSError."""
    weights = open_weights(path)
    if name not in weights.names():
        raise WeightsError(f"{path}: found tensors {', '.join(weights.names())}, expected {name}")
    return np.array(as_array(weights, name), np.float32)


def read_tensors(source: Source, folder: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    """Copies of all tensors in a folder of a model, in float32; they must have these shapes.

    Raises WeightsError and OSError.
    """
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
