"""Reads pytorch_model.bin without torch and without running anything.

Format: torch/serialization.py, `_save` (zip) and `_legacy_save` (stream).
"""

import math
import os
import struct
import warnings
from mmap import ACCESS_READ
from mmap import mmap as map_file
from typing import TYPE_CHECKING, Any, NamedTuple

from . import picklecode
from .errors import UnsafePickleError, WeightsError
from .files import refuse_stand_in
from .picklecode import Interpreter, Strided, show
from .ziprecords import ZipRecords

if TYPE_CHECKING:
    import numpy as np

# Beyond the size of the file itself: what tensors with strides may be copied into.
MAX_COPIED_BYTES = 64 * 1024 * 1024

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_LISTED = 10  # in a message


class PickledTensor(NamedTuple):
    """A tensor as `_core.Weights.add` takes it. `data` is row-major, and a part of the mapped file where possible."""

    dtype: str
    shape: tuple[int, ...]
    data: "memoryview | np.ndarray[Any, Any]"


def read_pickle(path: str | os.PathLike[str], mmap: bool = True) -> dict[str, PickledTensor]:
    """The tensors of a file written by torch.save, in the zip form (torch >= 1.6) or the older stream form.

    The file stays mapped for as long as a tensor lives, or is copied with `mmap=False`. Entries that are no tensors are
    left out; tensors of dtypes that safetensors does not have are, too, with a warning. Raises UnsafePickleError if the
    pickle asks for anything but tensors and plain values (nothing is run), WeightsError if the file is malformed, holds
    no tensor or is too large to be true, and OSError.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        refuse_stand_in(file.read(1024), path, WeightsError)
        file.seek(0)
        data = memoryview(map_file(file.fileno(), 0, access=ACCESS_READ) if mmap else file.read())
    if bytes(data[:4]) == b"PK\x03\x04":
        tensors = _read_zip(data, path)
    elif bytes(data[257:262]) == b"ustar":
        raise UnsafePickleError(
            f"{path}: this is the tar form of torch 0.1, which is not read; load it with torch < 2.0 and save it "
            "again with torch.save(state_dict, path) or safetensors.torch.save_file"
        )
    elif data[0] == 0x80:
        tensors = _read_legacy(data, path)
    else:
        raise WeightsError(f"{path}: not a file written by torch.save (it begins with {bytes(data[:4])!r})")
    _warn_about_dtypes(tensors, path)
    return _materialise(tensors, size, path)


def _read_zip(data: memoryview, path: str) -> dict[str, Strided]:
    records = ZipRecords(data, path)
    pickles = [name for name in records if name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") != 1:
        raise WeightsError(f"{path}: found {len(pickles)} records named */data.pkl, a file of torch.save has one")
    root = pickles[0].removesuffix("data.pkl")
    if root + "byteorder" in records and (order := bytes(records.read(root + "byteorder")[:16])) != b"little":
        raise WeightsError(f"{path}: byteorder is {order!r}; only little-endian files are read")
    if records.size(pickles[0]) > picklecode.MAX_PICKLE_BYTES:
        raise WeightsError(
            f"{path}: {pickles[0]} has {records.size(pickles[0])} bytes, the limit is {picklecode.MAX_PICKLE_BYTES}"
        )
    interpreter = Interpreter(records.read(pickles[0]), path)
    tensors = _state_dict(interpreter.run(), path)
    for storage in interpreter.storages.values():
        name = f"{root}data/{storage.key}"
        if name not in records:
            raise WeightsError(f"{path}: storage {storage.key!r} has no record {name!r}")
        if records.size(name) != storage.nbytes:
            raise WeightsError(
                f"{path}: storage {storage.key!r} has {records.size(name)} bytes, {storage.numel} elements of "
                f"{storage.dtype.name} need {storage.nbytes}"
            )
        storage.data = records.read(name)
    return tensors


def _read_legacy(data: memoryview, path: str) -> dict[str, Strided]:
    position = 0
    head = []
    for _ in range(3):
        interpreter = Interpreter(data, path, position)
        head.append(interpreter.run())
        position = interpreter.position
    if head[0] != _LEGACY_MAGIC:
        raise WeightsError(f"{path}: a pickle, but not one of torch.save")
    if head[1] != _LEGACY_PROTOCOL:
        raise WeightsError(f"{path}: protocol {show(head[1])}, expected {_LEGACY_PROTOCOL}")
    if not isinstance(head[2], dict) or head[2].get("little_endian") is not True:
        raise WeightsError(f"{path}: written on a big-endian machine; only little-endian files are read")
    interpreter = Interpreter(data, path, position)
    tensors = _state_dict(interpreter.run(), path)
    storages = interpreter.storages
    interpreter = Interpreter(data, path, interpreter.position)
    keys = interpreter.run()
    position = interpreter.position
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise WeightsError(f"{path}: the list of storages does not match the tensors")
    for key in keys:
        storage = storages[key]
        size = storage.nbytes
        if position + 8 + size > len(data):
            raise WeightsError(f"{path}: truncated in storage {key!r}: {position + 8 + size} bytes, found {len(data)}")
        numel = struct.unpack_from("<q", data, position)[0]
        if numel != storage.numel:
            raise WeightsError(f"{path}: storage {key!r} has {numel} elements, the tensors say {storage.numel}")
        storage.data = data[position + 8 : position + 8 + size]
        position += 8 + size
    if position != len(data):
        raise WeightsError(f"{path}: {len(data) - position} bytes follow the last storage")
    return tensors


def _state_dict(value: Any, path: str) -> dict[str, Strided]:
    """The tensors of the dictionary; one level down, under "state_dict", in files of training frameworks."""
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: holds {show(value)}, expected a dictionary of tensors")
    tensors = {name: entry for name, entry in value.items() if isinstance(name, str) and isinstance(entry, Strided)}
    if not tensors:
        listed = [f"{show(name)} ({show(entry)})" for name, entry in list(value.items())[:_LISTED]]
        listed += ["..."] * (len(value) > _LISTED)
        raise WeightsError(f"{path}: holds no tensors: found {', '.join(listed) or 'nothing that has a name'}")
    return tensors


def _materialise(tensors: dict[str, Strided], size: int, path: str) -> dict[str, PickledTensor]:
    budget = size + MAX_COPIED_BYTES
    result = {}
    for name, tensor in tensors.items():
        if not tensor.dtype.stored:
            continue
        storage, itemsize = tensor.storage, tensor.dtype.itemsize
        assert storage.data is not None
        start, length = tensor.offset * itemsize, math.prod(tensor.shape) * itemsize
        data: Any
        if _is_row_major(tensor) or length == 0:
            data = storage.data[start : start + length]
        else:
            budget -= length
            if budget < 0:
                raise WeightsError(
                    f"{path}: tensor {name!r} of shape {tensor.shape} on storage {storage.key!r} would expand the "
                    f"file of {size} bytes by more than {MAX_COPIED_BYTES}"
                )
            data = _gather(tensor)
        result[name] = PickledTensor(tensor.dtype.stored, tensor.shape, data)
    return result


def _warn_about_dtypes(tensors: dict[str, Strided], path: str) -> None:
    left_out = [f"{name[:100]} ({tensor.dtype.name})" for name, tensor in tensors.items() if not tensor.dtype.stored]
    if left_out:
        listed = ", ".join(left_out[:_LISTED]) + (f" and {len(left_out) - _LISTED} more" * (len(left_out) > _LISTED))
        warnings.warn(
            f"{path}: these tensors are left out, safetensors and filbert do not have their dtypes: {listed}.",
            stacklevel=5,  # whoever called from_pretrained
        )


def _is_row_major(tensor: Strided) -> bool:
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _gather(tensor: Strided) -> "np.ndarray[Any, Any]":
    import numpy as np

    itemsize = tensor.dtype.itemsize
    data = memoryview(tensor.storage.data or b"")
    whole = data[: len(data) // itemsize * itemsize]  # a storage of plain bytes may be any number of them
    elements = np.frombuffer(whole, dtype=f"u{itemsize}")[tensor.offset :]
    strides = [stride * itemsize for stride in tensor.strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(elements, tensor.shape, strides, writeable=False))
