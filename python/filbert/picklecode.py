"""Interprets the pickles of torch without running anything.

Not `pickle`: a small machine that knows the three dozen opcodes that a dictionary of tensors needs. Names become inert
symbols, and only the calls that rebuild a tensor or an OrderedDict have a meaning. Everything else is refused by name.
Opcodes: CPython, Lib/pickletools.py. Calls: torch/_utils.py, `_rebuild_*`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import UnsafePickleError, WeightsError
from .pickletypes import DTYPE_NAMES, SCHEMES, STORAGES, DType

MAX_PICKLE_BYTES = 64 * 1024 * 1024
MAX_OPCODES = 1_000_000
MAX_RANK = 8

_TENSOR, _BYTES, _QUANTISED, _PARAMETER, _ORDERED_DICT = "tensor", "bytes", "quantised", "parameter", "OrderedDict"
_CALLABLES = {
    "torch._utils._rebuild_tensor": _TENSOR,
    "torch._utils._rebuild_tensor_v2": _TENSOR,
    "torch._utils._rebuild_tensor_v3": _BYTES,
    "torch._utils._rebuild_qtensor": _QUANTISED,
    "torch._utils._rebuild_parameter": _PARAMETER,
    "collections.OrderedDict": _ORDERED_DICT,
}
# The names that a pickle may hold, in full; only those of _CALLABLES may be called.
_NAMES = DTYPE_NAMES.keys() | STORAGES.keys() | SCHEMES | _CALLABLES.keys()


@dataclass(frozen=True, eq=False)
class Symbol:
    """A name of the pickle; never resolved."""

    name: str


@dataclass(eq=False)
class Storage:
    key: str
    dtype: DType
    numel: int
    data: memoryview | None = None

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class Strided:
    """A tensor: offset and strides count elements of `dtype`, which need not be that of the storage."""

    storage: Storage
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """What the MARK opcode leaves on the stack."""


def show(value: Any) -> str:
    """`value` in a message. Not its repr: that of a pickled value may be exponentially long."""
    if isinstance(value, tuple) and len(value) <= MAX_RANK and all(type(item) is int for item in value):
        return repr(value)
    if isinstance(value, (str, int, float)):
        return repr(value[:100] if isinstance(value, str) else value)
    return "None" if value is None else f"a {type(value).__name__.strip('_')}"


class Interpreter:
    """Runs one pickle. After `run`, `position` is behind it and `storages` holds what it refers to."""

    def __init__(self, data: memoryview, path: str, position: int = 0) -> None:
        self._data = data[: position + MAX_PICKLE_BYTES]
        self._path = path
        self.position = position
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        try:
            for _ in range(MAX_OPCODES):
                opcode = self._take(1)[0]
                if opcode == 0x2E:  # STOP
                    return self._stack.pop()
                handler = _HANDLERS.get(opcode)
                if handler is None:
                    raise self._unsafe(f"pickle opcode {bytes([opcode])!r}")
                handler(self)
        except (IndexError, KeyError, struct.error, UnicodeDecodeError):
            raise WeightsError(f"{self._path}: the pickle is malformed at byte {self.position}") from None
        raise WeightsError(f"{self._path}: the pickle has more than {MAX_OPCODES} opcodes")

    def _take(self, count: int) -> memoryview:
        start = self.position
        if start + count > len(self._data):
            raise WeightsError(f"{self._path}: the pickle ends early (or exceeds {MAX_PICKLE_BYTES} bytes)")
        self.position = start + count
        return self._data[start : start + count]

    def _unsafe(self, what: str) -> UnsafePickleError:
        return UnsafePickleError(
            f"{self._path}: the pickle asks for {what}, and a file of weights needs only tensors. Nothing was run. "
            "If you trust the file, convert it to safetensors with the library that wrote it"
        )

    def _integer(self, layout: str) -> int:
        value: int = struct.unpack("<" + layout, self._take(struct.calcsize("<" + layout)))[0]
        return value

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _text(self, length: int) -> None:
        self._push(str(self._take(length), "utf-8"))

    def _float(self) -> None:
        self._push(struct.unpack(">d", self._take(8))[0])

    def _long(self) -> None:
        self._push(int.from_bytes(self._take(self._integer("B")), "little", signed=True))

    def _line(self) -> str:
        start = self.position
        while self._take(1)[0] != 0x0A:
            if self.position - start > 1000:
                raise WeightsError(f"{self._path}: a name in the pickle has no end")
        return str(self._data[start : self.position - 1], "utf-8")

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._push(self._symbol(module, name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push(self._symbol(module, name))

    def _symbol(self, module: Any, name: Any) -> Symbol:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self._unsafe("a global that is not named by text")
        full = f"{module}.{name}"
        if full not in _NAMES or "." in name:
            raise self._unsafe(show(full))
        return Symbol(full)

    def _put(self, index: int) -> None:
        if index > MAX_OPCODES:
            raise WeightsError(f"{self._path}: the pickle's memo index {index} is out of range")
        self._memo[index] = self._stack[-1]

    def _memoize(self) -> None:
        self._put(len(self._memo))

    def _get(self, index: int) -> None:
        self._push(self._memo[index])

    def _pop_mark(self) -> list[Any]:
        for at in range(len(self._stack) - 1, -1, -1):
            if self._stack[at] is _Mark:
                items = self._stack[at + 1 :]
                del self._stack[at:]
                return items
        raise IndexError

    def _tuple(self, length: int) -> None:
        items = self._stack[len(self._stack) - length :]
        if len(items) != length or _Mark in items:
            raise IndexError
        del self._stack[len(self._stack) - length :]
        self._push(tuple(items))

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise IndexError
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise IndexError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int)):
                continue  # names no tensor, and may take for ever to hash
            if key in target:
                raise WeightsError(f"{self._path}: key {show(key)} occurs twice")
            target[key] = value

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _build(self) -> None:
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise self._unsafe("the state of an object")

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple) or not isinstance(function, Symbol):
            raise self._unsafe("a call of something that is not a name")
        kind = _CALLABLES.get(function.name)
        first = arguments[0] if arguments else None
        if kind == _ORDERED_DICT and not arguments:
            self._push({})
        elif kind == _PARAMETER and isinstance(first, Strided):
            self._push(first)
        elif isinstance(first, Storage) and len(arguments) >= 4 and (dtype := _dtype_of(kind, first, arguments)):
            self._push(self._strided(first, dtype, *arguments[1:4]))
        else:
            raise self._unsafe(f"{function.name!r} with arguments that torch.save does not write")

    def _strided(self, storage: Storage, dtype: DType, offset: Any, shape: Any, strides: Any) -> Strided:
        sizes = [offset, *shape, *strides] if isinstance(shape, tuple) and isinstance(strides, tuple) else [None]
        if not all(type(size) is int and 0 <= size < 2**63 for size in sizes) or len(shape) != len(strides):
            raise WeightsError(
                f"{self._path}: a tensor on storage {storage.key!r} has offset {show(offset)}, shape "
                f"{show(shape)} and strides {show(strides)}; expected non-negative integers"
            )
        if len(shape) > MAX_RANK:
            raise WeightsError(f"{self._path}: a tensor on storage {storage.key!r} has {len(shape)} dimensions")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        elements = storage.nbytes // dtype.itemsize
        if (0 not in shape and last >= elements) or offset > elements:
            raise WeightsError(
                f"{self._path}: a tensor with offset {offset}, shape {shape} and strides {strides} does not fit into "
                f"storage {storage.key!r}, which has {elements} elements"
            )
        return Strided(storage, dtype, offset, shape, strides)

    def _persistent(self) -> None:
        identifier = self._stack.pop()
        if not isinstance(identifier, tuple) or len(identifier) not in (5, 6) or identifier[0] != "storage":
            raise self._unsafe("a persistent object that is not a storage")
        symbol, key, _, numel = identifier[1:5]
        if not isinstance(symbol, Symbol) or symbol.name not in STORAGES or not isinstance(key, str):
            raise self._unsafe("a storage without a type and a key")
        if type(numel) is not int or not 0 <= numel < 2**63:
            raise WeightsError(f"{self._path}: storage {show(key)} has {show(numel)} elements")
        if len(identifier) == 6 and identifier[5] is not None:
            raise WeightsError(f"{self._path}: storage {show(key)} is a view, as torch < 0.4 wrote; save it again")
        dtype = STORAGES[symbol.name]
        storage = self.storages.setdefault(key, Storage(key, dtype, numel))
        if (storage.dtype, storage.numel) != (dtype, numel):
            raise WeightsError(
                f"{self._path}: storage {key!r} is {storage.numel} {storage.dtype.name} at one place and {numel} "
                f"{dtype.name} at another"
            )
        self._push(storage)


def _dtype_of(kind: str | None, storage: Storage, arguments: tuple[Any, ...]) -> DType | None:
    """The dtype of the tensor that a call rebuilds; None if the call is not one that torch.save writes."""
    dtype: DType | None = None
    extra = arguments[6:]  # behind storage, offset, size, strides, requires_grad and hooks
    if kind == _TENSOR:
        dtype = storage.dtype
    elif kind == _BYTES and extra and isinstance(extra[0], Symbol) and storage.dtype.name == "uint8":
        dtype, extra = DTYPE_NAMES.get(extra[0].name), extra[1:]
    elif kind == _QUANTISED and storage.dtype.name.startswith("q"):
        parameters = arguments[4] if len(arguments) > 4 else None
        scheme = parameters[0] if isinstance(parameters, tuple) and parameters else None
        return storage.dtype if isinstance(scheme, Symbol) and scheme.name in SCHEMES else None
    if dtype and extra and isinstance(extra[0], dict) and any(extra[0].values()):
        # Numbers that are the conjugate or the negative of what the storage holds.
        return dtype._replace(name=f"{dtype.name} ({', '.join(map(str, extra[0]))})"[:100], stored="")
    return dtype


# The rest of the opcodes is refused: those that import, build or call otherwise, and those that torch does not write.
_HANDLERS: dict[int, Callable[[Interpreter], object]] = {
    0x80: lambda run: run._take(1),  # PROTO
    0x95: lambda run: run._take(8),  # FRAME
    ord("("): lambda run: run._push(_Mark),
    ord("N"): lambda run: run._push(None),
    0x88: lambda run: run._push(True),
    0x89: lambda run: run._push(False),
    ord("K"): lambda run: run._push(run._integer("B")),
    ord("M"): lambda run: run._push(run._integer("H")),
    ord("J"): lambda run: run._push(run._integer("i")),
    0x8A: Interpreter._long,
    ord("G"): Interpreter._float,
    ord("X"): lambda run: run._text(run._integer("I")),
    0x8C: lambda run: run._text(run._integer("B")),
    0x8D: lambda run: run._text(run._integer("Q")),
    ord("U"): lambda run: run._text(run._integer("B")),
    ord("T"): lambda run: run._text(run._integer("I")),
    ord("c"): Interpreter._global,
    0x93: Interpreter._stack_global,
    ord("q"): lambda run: run._put(run._integer("B")),
    ord("r"): lambda run: run._put(run._integer("I")),
    0x94: Interpreter._memoize,
    ord("h"): lambda run: run._get(run._integer("B")),
    ord("j"): lambda run: run._get(run._integer("I")),
    ord(")"): lambda run: run._push(()),
    0x85: lambda run: run._tuple(1),
    0x86: lambda run: run._tuple(2),
    0x87: lambda run: run._tuple(3),
    ord("t"): lambda run: run._push(tuple(run._pop_mark())),
    ord("]"): lambda run: run._push([]),
    ord("a"): Interpreter._append,
    ord("e"): lambda run: run._extend(run._pop_mark()),
    ord("}"): lambda run: run._push({}),
    ord("s"): Interpreter._set_item,
    ord("u"): lambda run: run._set_items(run._pop_mark()),
    ord("b"): Interpreter._build,
    ord("R"): Interpreter._reduce,
    ord("Q"): Interpreter._persistent,
}
