"""Parts in the formats of Arrow: Parquet, and Arrow's own file (IPC, Feather)."""

from collections.abc import Mapping, Sequence
from itertools import chain
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
                self._check_values(rows, name, type)
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

    def _check_values(self, rows: Rows, name: str, type: Any) -> None:
        if _misfit(self._pyarrow.types, rows.kept[name], type) is None:
            return
        for index, value in enumerate(rows.kept[name]):
            found = _misfit(self._pyarrow.types, [value], type)
            if found is not None:
                raise InputError(
                    f"{rows.path}: column {name!r}: row {rows.first + index} (from 0): found {found}, "
                    f"expected type {type} as in the first rows; format='jsonl' keeps values as they are"
                )


def _misfit(types: Any, values: Sequence[Any], arrow: Any) -> str | None:
    """What there is among values of JSON that a type of Arrow has no room for, or None.

    pyarrow refuses some of it itself. The rest it changes in silence: it leaves keys out, cuts the decimals off numbers
    and texts into letters, makes 1.0 of true and null of an empty list. Here all values of a level are looked at at
    once, as there is a call for every row that is kept.
    """
    taken = _taken(types, arrow)
    if taken is None:
        return None
    values = [value for value in values if value is not None]
    others = set(map(type, values)) - taken
    if others:
        value = next(value for value in values if type(value) in others)
        return f"{value!r:.100} ({type(value).__name__})"
    if types.is_struct(arrow):
        return _misfit_of_objects(types, values, arrow)
    if types.is_map(arrow):
        return _misfit(types, list(chain.from_iterable(value.values() for value in values)), arrow.item_type)
    if list in taken:
        return _misfit(types, list(chain.from_iterable(values)), arrow.value_type)
    return None


def _misfit_of_objects(types: Any, values: Sequence[dict[str, Any]], arrow: Any) -> str | None:
    fields = {field.name: field.type for field in (arrow.field(index) for index in range(arrow.num_fields))}
    key = next((key for key in dict.fromkeys(chain.from_iterable(values)) if key not in fields), None)
    if key is not None:
        return f"the key {key!r:.100}"
    found = (_misfit(types, [value.get(name) for value in values], fields[name]) for name in fields)
    return next((each for each in found if each is not None), None)


def _taken(types: Any, arrow: Any) -> set[type] | None:
    """The values of JSON that a type of Arrow takes; None for a type of tables that is left to pyarrow."""
    takers: dict[Any, set[type]] = {
        types.is_boolean: {bool},
        types.is_integer: {int},
        types.is_floating: {int, float},  # pyarrow refuses an integer that float64 has not
        types.is_temporal: {int},
        types.is_string: {str},
        types.is_list: {list},
        types.is_large_list: {list},
        types.is_fixed_size_list: {list},
        types.is_struct: {dict},
        types.is_map: {dict},
    }
    return next((taken for is_one, taken in takers.items() if is_one(arrow)), None)
