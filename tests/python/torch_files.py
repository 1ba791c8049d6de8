"""Writes files as torch.save does, byte by byte: without torch, and also such as torch would never write."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

# What the files of the tests hold.
ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.float16([1.5, -2]),
    "double": np.float64([[np.pi]]),
    "ids": np.arange(4, dtype=np.int64).reshape(1, 4),
    "scalar": np.array(7, np.int32),
    "empty": np.zeros((0, 5), np.float32),
    "flags": np.array([True, False]),
}

STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "u1": "Byte", "b1": "Bool"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    if 0 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(10, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def storage(key: str, kind: str, numel: int, legacy: bool = False) -> bytes:
    """`kind` is "Float", "Long"...; "Untyped" is a storage of `numel` bytes."""
    module = "torch.storage" if kind == "Untyped" else "torch"
    return (
        b"(" + text("storage") + name(module, f"{kind}Storage") + text(key) + text("cpu") + integer(numel)
        + (b"N" if legacy else b"") + b"tQ"
    )  # fmt: skip


def tensor(source: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = source + integer(offset) + integers(shape) + integers(strides) + b"\x89" + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def tensor_v3(
    source: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str, metadata: bytes = b""
) -> bytes:
    """As torch writes what its older storages have no class for: bytes, and the dtype beside them."""
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = source + integer(offset) + integers(shape) + integers(strides) + b"\x89" + hooks
    return name("torch._utils", "_rebuild_tensor_v3") + b"(" + arguments + name("torch", dtype) + metadata + b"tR"


def mapping(items: dict[str, bytes]) -> bytes:
    return name("collections", "OrderedDict") + b")R(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def program(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def dense(arrays: dict[str, np.ndarray], legacy: bool = False) -> tuple[bytes, dict[str, bytes]]:
    """The pickle of a state dict and its storages by key."""
    items, storages = {}, {}
    for number, (label, array) in enumerate(arrays.items()):
        key = str(number)
        strides = tuple(stride // array.itemsize for stride in array.strides)
        source = storage(key, STORAGES[array.dtype.str[1:]], array.size, legacy)
        items[label] = tensor(source, 0, array.shape, strides)
        storages[key] = array.tobytes()
    return program(mapping(items)), storages


def zip_bytes(pickle: bytes, storages: dict[str, bytes], byteorder: bytes | None = b"little", **options: Any) -> bytes:
    records = {"data.pkl": pickle} | {f"data/{key}": data for key, data in storages.items()}
    if byteorder is not None:
        records["byteorder"] = byteorder
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", options.get("compression", zipfile.ZIP_STORED)) as file:
        for record, data in records.items():
            file.writestr(f"archive/{record}", data)
    return target.getvalue()


def legacy_bytes(pickle: bytes, storages: dict[str, bytes], itemsize: int = 4, little_endian: bool = True) -> bytes:
    magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    machine = b"}(" + text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"u"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    head = magic + program(integer(1001)) + program(machine) + pickle + program(keys)
    return head + b"".join(struct.pack("<q", len(data) // itemsize) + data for data in storages.values())


def patch_crc(data: bytes, record: bytes, content: bytes) -> bytes:
    """The zip file with other content, of the same size, and its CRC kept consistent."""
    old, new = zlib.crc32(record), zlib.crc32(content)
    return data.replace(record, content).replace(struct.pack("<I", old), struct.pack("<I", new))


def raw(tensor: Any) -> bytes:
    """The numbers of a tensor that was read."""
    return np.asarray(tensor.data).tobytes()


def strided(shape, strides, offset=0):
    return tensor(storage("0", "Float", 12), offset, shape, strides)


def v3_call(*arguments: bytes) -> bytes:
    return name("torch._utils", "_rebuild_tensor_v3") + b"(" + b"".join(arguments) + b"tR"


def quantised(source: bytes, parameters: bytes) -> bytes:
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = source + integer(0) + integers((4,)) + integers((1,)) + parameters + b"\x89" + hooks
    return name("torch._utils", "_rebuild_qtensor") + b"(" + arguments + b"tR"
