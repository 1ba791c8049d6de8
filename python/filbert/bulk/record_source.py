"""Sources whose records lie one after the other: files, cut at bytes, and streams."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..errors import InputError
from .lines import Lines
from .plan import Piece
from .records import Format
from .rows import Row, Rows, gather
from .settings import Settings
from .source import check_columns

# Records that tell which columns there are, and of what types.
_SAMPLE = 1000


class RecordFile:
    """See `Source`."""

    def __init__(self, path: str, format: Format, settings: Settings) -> None:
        self.path = path
        self._format, self._settings = format, settings
        with self._lines() as lines:
            self._names, self._sample = _begin(format, format.records(lines))

    def check(self) -> None:
        check_columns(self.path, self._names, self._settings, self._format.has_columns)

    def cut(self, room: int, every: int) -> Iterator[Piece]:
        with self._lines() as lines:
            records = self._format.records(lines)
            if self._format.has_header:
                next(records, None)
            begin, first, rows = lines.position, 0, 0
            for _ in records:
                rows += 1
                if rows == room:
                    yield Piece(begin, lines.position, first, rows)
                    begin, first, rows, room = lines.position, first + rows, 0, every
            if rows:
                yield Piece(begin, lines.position, first, rows)

    def read(self, piece: Piece) -> Iterator[Rows]:
        with self._lines(piece.begin, piece.end) as lines:
            records = self._format.records(lines)
            yield from _rows(self.path, self._format, self._names, records, lines, piece.first, self._settings)

    def samples(self, name: str) -> list[Any]:
        return _values(self._format, self._names, self._sample, name)

    @contextmanager
    def _lines(self, begin: int = 0, end: int | None = None) -> Iterator[Lines]:
        with _named(self.path), open(self.path, "rb") as file:
            file.seek(begin)
            yield Lines(file, begin, end)


class RecordStream:
    """Records that can be read once only, and so be neither planned nor read again."""

    def __init__(self, name: str, file: BinaryIO, format: Format, settings: Settings) -> None:
        self.path = name
        self._format, self._settings = format, settings
        self._lines = Lines(file)
        self._records = format.records(self._lines)
        with _named(name):
            self._names, self._sample = _begin(format, self._records)

    def check(self) -> None:
        check_columns(self.path, self._names, self._settings, self._format.has_columns)

    def read(self) -> Iterator[Rows]:
        records = itertools.chain(self._sample, self._records)
        with _named(self.path):
            yield from _rows(self.path, self._format, self._names, records, self._lines, 0, self._settings)

    def samples(self, name: str) -> list[Any]:
        return _values(self._format, self._names, self._sample, name)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Errors name the source, those of the system too, which do not where a file is open already."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), path) from None


def _begin(format: Format, records: Iterator[Any]) -> tuple[list[str], list[Any]]:
    """The columns that the first records tell of, and those of them that are rows."""
    found = list(itertools.islice(records, 1 if format.has_header else _SAMPLE))
    return format.names(found), [] if format.has_header else found


def _rows(
    path: str,
    format: Format,
    names: Sequence[str],
    records: Iterator[Any],
    lines: Lines,
    first: int,
    settings: Settings,
) -> Iterator[Rows]:
    place = format.find(names, [settings.column, *settings.kept])

    def sized() -> Iterator[tuple[Row, int]]:
        before = lines.position
        for record in records:
            yield format.row(record, place), lines.position - before
            before = lines.position

    return gather(path, sized(), first, settings.kept)


def _values(format: Format, names: Sequence[str], records: Sequence[Any], name: str) -> list[Any]:
    place = format.find(names, [name])
    return [format.row(record, place).text for record in records]
