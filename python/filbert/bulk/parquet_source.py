"""Parquet files: cut at rows, read a few thousand at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..arrow import is_text
from ..errors import InputError
from ..optional_packages import need
from .plan import Piece
from .rows import MOST_BYTES, MOST_ROWS, Rows
from .settings import Settings
from .source import check_columns

# Bytes of a column read at a time: a row group may have millions of rows.
_BUFFER = 1 << 20


class ParquetFile:
    """See `Source`."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.path = path
        self._settings = settings
        with self._open() as file:
            self._schema = file.schema_arrow
            groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
            self._groups = [group.num_rows for group in groups]
            # Of all columns, so that long rows of any of them make fewer at a time.
            self._bytes = [group.total_byte_size for group in groups]

    def check(self) -> None:
        check_columns(self.path, self._schema.names, self._settings, True)
        name = self._settings.column
        found = self._schema.field(name).type
        if not is_text(found):
            raise InputError(f"{self.path}: column {name!r}: found type {found}, expected strings")

    def cut(self, room: int, every: int) -> Iterator[Piece]:
        begin, total = 0, sum(self._groups)
        while begin < total:
            rows = min(room, total - begin)
            yield Piece(begin, begin + rows, begin, rows)
            begin, room = begin + rows, every

    def read(self, piece: Piece) -> Iterator[Rows]:
        names = [self._settings.column, *self._settings.kept]
        start = 0
        with self._open() as file:
            for group, rows in enumerate(self._groups):
                begin, end = max(piece.begin - start, 0), min(piece.end - start, rows)
                if begin < end:
                    yield from self._rows(file, group, begin, end, start, names)
                start += rows

    def samples(self, name: str) -> Any:
        return self._schema.field(name).type

    def _rows(self, file: Any, group: int, begin: int, end: int, start: int, names: list[str]) -> Iterator[Rows]:
        """Rows `begin` to `end` of a row group whose first row is row `start` of the file."""
        most = max(1, min(MOST_ROWS, MOST_BYTES * self._groups[group] // max(self._bytes[group], 1)))
        place = 0
        for batch in file.iter_batches(batch_size=most, row_groups=[group], columns=list(dict.fromkeys(names))):
            part = batch.slice(max(begin - place, 0), max(min(end, place + len(batch)) - max(begin, place), 0))
            if len(part):
                texts = part.column(self._settings.column).to_pylist()
                kept = {name: part.column(name) for name in self._settings.kept}
                yield Rows(self.path, start + max(begin, place), texts, kept)
            place += len(batch)
            if place >= end:
                return

    @contextmanager
    def _open(self) -> Iterator[Any]:
        pyarrow, parquet = need("pyarrow", "arrow"), need("pyarrow.parquet", "arrow")
        try:
            with open(self.path, "rb") as file, parquet.ParquetFile(file, buffer_size=_BUFFER) as opened:
                yield opened
        except (pyarrow.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise InputError(f"{self.path}: not a whole Parquet file: {error}") from None
