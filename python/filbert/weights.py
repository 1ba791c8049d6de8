"""Weights on the way in (files, random numbers) and out (arrays, safetensors files)."""

import json
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _core
from .atomic import FileSet
from .checks import integer
from .errors import ConfigError, InputError, WeightsError

if sys.byteorder != "little":
    raise ImportError("filbert needs a little-endian machine: weights are used as they lie in the file")

# Storage in memory of each dtype of safetensors that NumPy has; BF16 is widened.
_NUMPY = {
    **{"F64": "f8", "F32": "f4", "F16": "f2"},
    **{"I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1"},
}
# What a model is loaded from, by the names that the safetensors package takes.
_SAFETENSORS = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8"},
}
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


class Entry(NamedTuple):
    """A tensor to be written: its name there, dtype as safetensors spells it, shape, and bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: npt.NDArray[np.uint8]


def open_weights(path: str | os.PathLike[str], mmap: bool = True) -> _core.Weights:
    """Opens a safetensors or pytorch_model.bin file, or the index of shards of either.

    With `mmap=False` the bytes are copied, for files that another program may truncate.
    Raises WeightsError and OSError.
    """
    path = os.fspath(path)
    if ".safetensors" in os.path.basename(path):
        return _core.Weights.open(os.fsencode(path), mmap)
    from .unpickle import read_pickle

    weights = _core.Weights(os.fsencode(path))
    if path.endswith(".json"):
        _add_bin_shards(weights, path, mmap)
        return weights
    for name, tensor in read_pickle(path, mmap).items():
        weights.add(name, tensor.dtype, tensor.shape, tensor.data)
    return weights


def digest(weights: _core.Weights, names: Iterable[tuple[str, str]]) -> str:
    """SHA-256, in hex, over names, dtypes, shapes and bytes. names: of each tensor, here and in the weights."""
    import hashlib  # 3 ms, and few programs want it

    total = hashlib.sha256()
    for name, source in sorted(names):
        total.update(f"{name} {weights.dtype(source)} {weights.shape(source)}".encode())
        total.update(weights.data(source).data)
    return total.hexdigest()


def _add_bin_shards(weights: _core.Weights, index: str, mmap: bool) -> None:
    """Adds the tensors of .bin files, each from the shard where the index has it, or the one that has it."""
    from .unpickle import read_pickle

    weight_map = _core.weight_map(os.fsencode(index))
    elsewhere: dict[str, str] = {}
    for shard in sorted(set(weight_map.values())):
        for name, tensor in read_pickle(os.path.join(os.path.dirname(index), shard), mmap).items():
            if weight_map.get(name, shard) == shard:
                weights.add(name, tensor.dtype, tensor.shape, tensor.data)
            else:
                elsewhere[name] = shard
    for name in sorted(elsewhere.keys() - set(weights.names())):
        raise WeightsError(f"{index}: tensor {name!r}: expected in {weight_map[name]!r}, found in {elsewhere[name]!r}")


def shard_names(index: str | os.PathLike[str]) -> list[str]:
    """The shards that an index names, sorted. Raises OSError, and WeightsError if one leads out of its folder."""
    return _core.shard_names(os.fsencode(index))


def random_weights(config: Any, seed: int | None, task: str) -> _core.Weights:
    """New float32 weights, drawn as transformers draws them; the same for the same seed. Raises ConfigError."""
    generator = np.random.default_rng(seed)
    weights = _core.Weights()
    for spec in _core.tensor_specs(config.to_json_string(), task):
        if spec.init == "zeros":
            values = np.zeros(spec.shape, np.float32)
        elif spec.init == "ones":
            values = np.ones(spec.shape, np.float32)
        else:
            values = generator.standard_normal(spec.shape, np.float32)
            values *= np.float32(config.weight_deviation(spec.name))
        if spec.init == "normal_padding_zero" and config.pad_token_id is not None:
            values[_padding_row(config.pad_token_id, spec.shape[0])] = 0
        weights.add(spec.name, "F32", spec.shape, values)
    return weights


def _padding_row(pad_token_id: Any, rows: int) -> int:
    row = integer(pad_token_id)
    if row is None or not -rows <= row < rows:
        raise ConfigError(f"pad_token_id: found {pad_token_id!r}, expected an integer below vocab_size ({rows})")
    return row


def as_array(weights: _core.Weights, name: str) -> npt.NDArray[Any]:
    """A tensor as a read-only view; BF16, which NumPy lacks, as a float32 copy with the same values."""
    dtype, shape, data = weights.dtype(name), weights.shape(name), weights.data(name)
    if dtype == "BF16":
        return (data.view("u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if dtype not in _NUMPY:
        raise WeightsError(f"tensor {name!r} has dtype {dtype}, which NumPy does not have")
    return data.view(_NUMPY[dtype]).reshape(shape)


def parse_size(size: int | str) -> int:
    """Bytes from 1000, "5GB" or "200MiB". Raises InputError."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    if isinstance(size, str) and (match := re.fullmatch(r"(\d+)\s*([KMGT]I?B)", size.strip().upper())):
        size = int(match[1]) * units.get(match[2], 0)
    count = integer(size)
    if count is None or count <= 0:
        raise InputError(f"max_shard_size: found {size!r}, expected bytes above 0, or text such as '5GB'")
    return count


def save_weights(files: FileSet, entries: list[Entry], max_shard_size: int | str) -> list[str]:
    """Writes model.safetensors, or shards of at most that size each and then model.safetensors.index.json.

    Returns the names of the files.
    """
    shards = _split(entries, parse_size(max_shard_size))
    if len(shards) == 1:
        with files.create("model.safetensors") as file:
            write_safetensors(file, shards[0])
        return ["model.safetensors"]
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        with files.create(name) as file:
            write_safetensors(file, shard)
        weight_map.update({entry.name: name for entry in shard})
    total_size = sum(entry.data.nbytes for entry in entries)
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    with files.create("model.safetensors.index.json") as file:
        file.write((json.dumps(index, indent=2, sort_keys=True) + "\n").encode())
    return sorted({*weight_map.values(), "model.safetensors.index.json"})


def remove_stale_weights(folder: str, kept: Iterable[str]) -> None:
    """Removes safetensors weights of an earlier save, the index first; links to them, but no FIFOs or devices."""
    kept = set(kept)
    stale = [name for name in os.listdir(folder) if _SHARD.fullmatch(name) or name == "model.safetensors"]
    for name in ["model.safetensors.index.json", *sorted(stale)]:
        if name not in kept and os.path.isfile(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))


def write_safetensors(file: BinaryIO, entries: list[Entry]) -> None:
    """Writes the bytes of the tensors as they are."""
    from safetensors import TensorSpec, serialize

    specs = {
        entry.name: TensorSpec(
            dtype=_SAFETENSORS[entry.dtype],
            shape=list(entry.shape),
            data_ptr=entry.data.ctypes.data,
            data_len=entry.data.nbytes,
        )
        for entry in entries
    }
    file.write(serialize(specs, metadata={"format": "pt"}))


def _split(entries: list[Entry], limit: int) -> list[list[Entry]]:
    """Fills shards in turn. A tensor above the limit has one of its own."""
    shards: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if shards[-1] and size + entry.data.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size += entry.data.nbytes
    return shards
