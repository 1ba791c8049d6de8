"""Files of texts and their labels: lines of JSON, or tables with a header."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from .csv_fields import allow_documents
from .errors import InputError
from .labels import Label
from .text_lines import read_lines

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")

Row = Mapping[str, Any]


def read_labelled(source: str, text_column: str, label_column: str) -> tuple[list[str], list[Label]]:
    """The texts of a file, and as many labels.

    Args:
        source: a path; what it ends with tells what is in it: .jsonl, .ndjson or .json for an object a line, whose
            labels are strings, integers or booleans; .csv or .tsv for a table with a header, whose labels are strings.
        text_column, label_column: the keys, or the columns.

    Raises:
        InputError: naming the line, where there is no text or no label, or what is no row; an unknown column; no rows.
        OSError: it cannot be read.
    """
    ending = os.path.splitext(source)[1].lower()
    if ending in _DELIMITERS:
        rows = _table(source, _DELIMITERS[ending], (text_column, label_column))
    elif ending in _JSON_LINES:
        rows = _objects(source)
    else:
        raise InputError(f"{source}: found a name that ends with {ending!r}, expected .jsonl, .csv or .tsv")
    texts: list[str] = []
    labels: list[Label] = []
    for line, row in rows:
        text, label = (_value(source, line, row, column) for column in (text_column, label_column))
        if not isinstance(text, str):
            raise InputError(f"{source}: line {line}: {text_column}: found {text!r:.100}, expected a string")
        if not isinstance(label, str | int):  # and bool, which is one
            raise InputError(
                f"{source}: line {line}: {label_column}: found {label!r:.100}, expected a string, an integer or a "
                "boolean"
            )
        if label == "":
            raise InputError(f"{source}: line {line}: {label_column}: found no label")
        texts.append(text)
        labels.append(label)
    if not texts:
        raise InputError(f"{source}: found no texts")
    return texts, labels


def _value(source: str, line: int, row: Row, column: str) -> Any:
    if row.get(column) is None:
        listed = ", ".join(name for name in row if row[name] is not None) or "nothing"
        raise InputError(f"{source}: line {line}: found {listed:.200}, expected {column!r} among them")
    return row[column]


def _objects(source: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(read_lines(source), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: line {number}: found no JSON: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{source}: line {number}: found {line.strip()!r:.100}, expected a JSON object")
        yield number, row


def _table(source: str, delimiter: str, columns: tuple[str, str]) -> Iterator[tuple[int, Row]]:
    allow_documents()
    reader = csv.reader((f"{line}\n" for line in read_lines(source)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = row
                for column in columns:
                    if header.count(column) != 1:
                        raise InputError(f"{source}: found columns {', '.join(header):.200}, expected one {column!r}")
            elif len(row) != len(header):
                raise InputError(
                    f"{source}: line {reader.line_num}: found {len(row)} columns, the header has {len(header)}"
                )
            else:
                yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{source}: line {reader.line_num}: {error}") from None
