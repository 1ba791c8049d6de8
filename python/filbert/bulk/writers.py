"""Parts: rows and vectors to the bytes of a file."""

import datetime
import decimal
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Protocol

import numpy as np

from ..errors import InputError
from .arrow_writers import ArrowWriter
from .rows import Rows
from .settings import Settings
from .vectors import Valid, Vectors


class Writer(Protocol):
    """A part that is being written."""

    def write(self, rows: Rows, vectors: Vectors, valid: Valid) -> None:
        """More rows. valid: which vectors are there; None: all. Raises InputError and OSError."""

    def close(self) -> None:
        """The rest of the file, which stays open. Raises OSError."""


@contextmanager
def open_writer(
    settings: Settings,
    file: BinaryIO,
    width: int,
    dtype: np.dtype[Any],
    types: Mapping[str, Any],
    described: Mapping[str, str],
) -> Iterator[Writer]:
    """What writes vectors of `width` numbers into `file`, and at the end what a file of its format ends with.

    types: of Arrow, of the columns that are kept. described: what a file of Parquet or Arrow says of itself.
    Raises InputError, ImportError and OSError.
    """
    writer: Writer
    if settings.format == "npy":
        writer = _NpyWriter(file, width, dtype)
    elif settings.format == "jsonl":
        writer = _JsonLinesWriter(file, width, dtype)
    else:
        writer = ArrowWriter(settings.format, file, width, dtype, types, described)
    try:
        yield writer
        writer.close()
    except BaseException:
        # Those of pyarrow would close themselves, when their file is closed already.
        with suppress(Exception):
            writer.close()
        raise


class _NpyWriter:
    """An array [rows, width] in NumPy's format; a row without a vector is of NaN."""

    def __init__(self, file: BinaryIO, width: int, dtype: np.dtype[Any]) -> None:
        self._file, self._width, self._dtype, self._rows = file, width, dtype, 0
        self._start = file.tell()
        file.write(self._header())

    def write(self, rows: Rows, vectors: Vectors, valid: Valid) -> None:
        if valid is not None:
            vectors[~valid] = np.nan
        self._file.write(np.ascontiguousarray(vectors).data)
        self._rows += len(vectors)

    def close(self) -> None:
        self._file.seek(self._start)
        self._file.write(self._header())

    def _header(self) -> bytes:
        """As np.save writes it, in 128 bytes whatever the number of rows, which is known at the end."""
        described = np.lib.format.dtype_to_descr(self._dtype)
        text = f"{{'descr': {described!r}, 'fortran_order': False, 'shape': ({self._rows}, {self._width}), }}"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.encode().ljust(117) + b"\n"


class _JsonLinesWriter:
    """An object a line: the columns that are kept, and "embedding", a list of numbers or null."""

    def __init__(self, file: BinaryIO, width: int, dtype: np.dtype[Any]) -> None:
        self._file = file
        # As many digits as tell each number of its type from the next: half of what its double would have.
        digit = {"float32": "%.9g", "float16": "%.5g"}.get(dtype.name, "%d")
        self._form = f"[{', '.join([digit] * width)}]"

    def write(self, rows: Rows, vectors: Vectors, valid: Valid) -> None:
        kept = {name: column if isinstance(column, list) else column.to_pylist() for name, column in rows.kept.items()}
        for index, vector in enumerate(vectors):
            values = {name: column[index] for name, column in kept.items()}
            begin = json.dumps(values, ensure_ascii=False, default=_plain)[:-1] + (", " if values else "")
            numbers = self._numbers(vector) if valid is None or valid[index] else "null"
            self._file.write(f'{begin}"embedding": {numbers}}}\n'.encode())

    def close(self) -> None:
        pass

    def _numbers(self, vector: Vectors) -> str:
        # Infinities and NaN have the names that Python's own reader knows.
        return self._form % tuple(vector.tolist()) if np.isfinite(vector).all() else json.dumps(vector.tolist())


def _plain(value: Any) -> Any:
    """What JSON has for a value that Parquet has and JSON has not."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise InputError(f"JSON has no {type(value).__name__}, which a column that is kept has: {value!r:.100}")
