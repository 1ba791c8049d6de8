"""Files of lines, JSON lines and CSV: where a record ends, and what row it is."""

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ..csv_fields import allow_documents
from ..errors import InputError
from .rows import Row


class Format(Protocol):
    """A record is one line or several; a row is what it says of the columns wanted."""

    has_header: bool
    has_columns: bool

    def records(self, lines: Iterator[bytes]) -> Iterator[Any]:
        """The records of some lines, none of which is read before the record that it belongs to is asked for."""

    def names(self, records: Sequence[Any]) -> list[str]:
        """The columns of a file that begins with these records."""

    def row(self, record: Any, wanted: Sequence[Any]) -> Row:
        """The row of a record. wanted: the column of texts and those that are kept, as `find` gives them."""

    def find(self, names: Sequence[str], wanted: Sequence[str]) -> Sequence[Any]:
        """The columns of these names in the terms of `row`. names: all that there are."""


class TextLines:
    """A text a line, as `filbert encode` reads it."""

    has_header = False
    has_columns = False

    def records(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        return lines

    def names(self, records: Sequence[bytes]) -> list[str]:
        return []

    def find(self, names: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
        return []

    def row(self, record: bytes, wanted: Sequence[Any]) -> Row:
        return Row(_decode(record.removesuffix(b"\n").removesuffix(b"\r") if record.endswith(b"\n") else record), ())


class JsonLines:
    """An object a line; empty lines are none."""

    has_header = False
    has_columns = True

    def records(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        return (line for line in lines if not line.isspace())

    def names(self, records: Sequence[bytes]) -> list[str]:
        found: dict[str, None] = {}
        for record in records:
            value = _parse(record)
            found |= dict.fromkeys(value if isinstance(value, dict) else ())
        return list(found)

    def find(self, names: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
        return wanted

    def row(self, record: bytes, wanted: Sequence[Any]) -> Row:
        value = _parse(record)
        if not isinstance(value, dict):
            return Row(None, [None] * (len(wanted) - 1), "not an object of JSON")
        text, *kept = (value.get(name) for name in wanted)
        return _checked(text, kept)


class Csv:
    """Fields between commas or tabs, as RFC 4180 has them, under a line of names; empty lines are none.

    A record that `csv` cannot read, such as one with a lone carriage return, is its error, and the next line begins
    another. A quote that is never closed has no such next line: it ends everything.
    """

    has_header = True
    has_columns = True

    def __init__(self, delimiter: str = ",") -> None:
        self._delimiter = delimiter

    def records(self, lines: Iterator[bytes]) -> Iterator[list[str] | csv.Error]:
        allow_documents()
        is_over = False

        def decoded() -> Iterator[str]:
            nonlocal is_over
            yield from map(_decode, lines)
            is_over = True

        reader = csv.reader(decoded(), delimiter=self._delimiter)
        while True:
            # Of the file, since planning reads all of it from its beginning, and comes here first.
            line = reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "field limit" in str(error):
                    raise InputError(
                        f"line {line}: {error}, in the record that begins there, as after a quote that is never closed"
                    ) from None
                # Without its advice on Python's open().
                yield csv.Error(str(error).partition(" - ")[0])
            else:
                if is_over:  # the reader asked for another line, as it does only inside of quotes
                    raise InputError(f"line {line}: a quote is never closed, in the record that begins there")
                if record:
                    yield record

    def names(self, records: Sequence[list[str] | csv.Error]) -> list[str]:
        first = records[0] if records else []
        if isinstance(first, csv.Error):
            raise InputError(f"line 1: expected names of columns: {first}")
        return first

    def find(self, names: Sequence[str], wanted: Sequence[str]) -> Sequence[int]:
        return [len(names), *(list(names).index(name) for name in wanted)]

    def row(self, record: list[str] | csv.Error, wanted: Sequence[Any]) -> Row:
        expected, column, *kept = wanted
        if isinstance(record, csv.Error):
            return Row(None, [None] * len(kept), str(record))
        if len(record) != expected:
            return Row(None, [None] * len(kept), f"found {len(record)} fields, expected {expected}")
        return _checked(record[column], [record[index] for index in kept])


def _decode(line: bytes) -> str:
    # What is no UTF-8 comes out as lone surrogates, which no text may have: its row is known for it later.
    return line.decode("utf-8", "surrogateescape")


def _parse(record: bytes) -> Any:
    try:
        return json.loads(_decode(record))
    except (ValueError, RecursionError):  # ValueError: also an integer of thousands of digits
        return None


def _checked(text: Any, kept: list[Any]) -> Row:
    if all(map(_has_utf8, kept)):
        return Row(text, kept)
    return Row(None, [value if _has_utf8(value) else None for value in kept], "a column that is not UTF-8")


def _has_utf8(value: Any) -> bool:
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    try:
        return not isinstance(value, str) or bool(value.encode()) or not value
    except UnicodeEncodeError:
        return False
