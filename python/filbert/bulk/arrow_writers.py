"""Parts in the formats of Arrow: Parquet, and Arrow's own file (IPC, Feather)."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from ..arrow import as_lists
from ..errors import InputError
from ..optional_packages import need
from .rows import Rows
from .source import Columns
from .vectors import Valid, Vectors


def kept_types(sources: Sequence[Columns], names: Sequence[str]) -> dict[str, Any]:
    """The types of Arrow of columns that are kept.

    Those of tables are what they are; those of CSV are strings; those of JSON lines are what the first thousand rows
    of the first file have. Raises InputError if two tables differ.
    """
    pyarrow = need("pyarrow", "arrow")
    types: dict[str, Any] = {}
    for source in sources:
        for name in names:
            found = source.samples(name)
            if not isinstance(found, list) and pyarrow.types.is_dictionary(found):
                found = found.value_type  # every part would have its own
            if name in types and not isinstance(found, list) and types[name] != found:
                raise InputError(
                    f"{source.path}: column {name!r}: found type {found}, expected {types[name]} as in "
                    f"{sources[0].path}"
                )
            if name not in types:
                types[name] = _inferred(pyarrow, source.path, name, found) if isinstance(found, list) else found
    return types


def _inferred(pyarrow: Any, path: str, name: str, values: list[Any]) -> Any:
    try:
        found = pyarrow.array(values).type
    except (pyarrow.ArrowException, OverflowError) as error:
        raise InputError(f"{path}: column {name!r}: its values have no type in common: {error}") from None
    return pyarrow.string() if pyarrow.types.is_null(found) else found


class ArrowWriter:
    """Columns that are kept, and "embedding", a fixed-size list; a record batch or a row group for some thousand rows.

    For arguments and errors see `open_writer`.
    """

    def __init__(
        self,
        format: str,
        file: BinaryIO,
        width: int,
        dtype: np.dtype[Any],
        types: Mapping[str, Any],
        described: Mapping[str, str],
    ) -> None:
        self._pyarrow = pyarrow = need("pyarrow", "arrow")
        vectors = pyarrow.list_(pyarrow.from_numpy_dtype(dtype), width)
        self._schema = pyarrow.schema([*types.items(), ("embedding", vectors)], dict(described))
        if format == "parquet":
            # A dictionary of numbers none of which comes twice would be built and thrown away.
            options = {"use_dictionary": list(types)}
            self._writer = need("pyarrow.parquet", "arrow").ParquetWriter(file, self._schema, **options)
        else:
            self._writer = pyarrow.ipc.new_file(file, self._schema)

    def write(self, rows: Rows, vectors: Vectors, valid: Valid) -> None:
        pyarrow = self._pyarrow
        columns = []
        for name, column in rows.kept.items():
            as_list = isinstance(column, list)
            type = self._schema.field(name).type
            if as_list:
                self._check_keys(rows, name, type)
            try:
                columns.append(pyarrow.array(column, type) if as_list else column.cast(type))
            except (pyarrow.ArrowException, OverflowError, TypeError) as error:
                raise InputError(
                    f"{rows.path}: column {name!r}: rows {rows.first} to {rows.first + len(rows.texts) - 1} (from 0): "
                    f"expected type {type} as in the first rows: {error}"
                ) from None
        columns.append(as_lists(vectors, valid))
        self._writer.write_table(pyarrow.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def _check_keys(self, rows: Rows, name: str, type: Any) -> None:
        if not self._pyarrow.types.is_nested(type):
            return
        for index, value in enumerate(rows.kept[name]):
            key = _unknown_key(self._pyarrow.types, value, type)
            if key is not None:
                raise InputError(
                    f"{rows.path}: column {name!r}: row {rows.first + index} (from 0): found the key {key!r:.100}, "
                    f"expected type {type} as in the first rows; format='jsonl' keeps values as they are"
                )


def _unknown_key(types: Any, value: Any, type: Any) -> str | None:
    """A key that a value of JSON has and its type has not: pyarrow would leave it out in silence."""
    if isinstance(value, dict) and types.is_struct(type):
        fields = {field.name: field.type for field in (type.field(index) for index in range(type.num_fields))}
        found = (_unknown_key(types, each, fields[key]) if key in fields else key for key, each in value.items())
    elif isinstance(value, list) and types.is_list(type):
        found = (_unknown_key(types, each, type.value_type) for each in value)
    else:
        return None
    return next((key for key in found if key is not None), None)
