"""From what a caller names to sources: paths, patterns and lists of them, each read as its ending says."""

import glob
import os
from collections.abc import Iterable, Sequence

from ..errors import InputError
from ..text_lines import standard_input
from .parquet_source import ParquetFile
from .record_source import RecordFile, RecordStream
from .records import Csv, Format, JsonLines, TextLines
from .settings import Settings
from .source import Named, Source

STANDARD_INPUT = "-"
_ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}
INPUT_FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")
Names = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def name_sources(sources: Names, input_format: str | None) -> list[Named]:
    """The files that paths and patterns stand for, each pattern's by name.

    Raises InputError for what is none, or of no known format, and FileNotFoundError.
    """
    if input_format is not None and input_format not in INPUT_FORMATS:
        raise InputError(f"input_format: found {input_format!r:.100}, expected one of {', '.join(INPUT_FORMATS)}")
    each = [sources] if isinstance(sources, str | os.PathLike) else sources
    paths = [path for name in each for path in _expand(os.fspath(name))]
    if not paths:
        raise InputError("sources: found none, expected files of texts")
    if STANDARD_INPUT in paths:
        if len(paths) > 1:
            raise InputError("sources: found standard input among files; it is a source by itself")
        if input_format == "parquet":
            raise InputError("sources: Parquet is read from its end, and standard input has none: save it to a file")
        return [Named(STANDARD_INPUT, input_format or "text")]
    return [Named(path, input_format or _format_of(path)) for path in paths]


def has_columns(name: str) -> bool:
    """Whether the ending of a file is one of files with columns."""
    return _ENDINGS.get(os.path.splitext(name)[1].lower(), "text") != "text"


def is_pattern(name: str) -> bool:
    """Whether files are meant whose names match, and not one of that name."""
    return glob.has_magic(name) and not os.path.exists(name)


def open_source(named: Named, settings: Settings) -> Source:
    """Raises InputError and OSError."""
    if named.format == "parquet":
        return ParquetFile(named.path, settings)
    return RecordFile(named.path, _record_format(named.format), settings)


def open_stream(named: Named, settings: Settings) -> RecordStream:
    """Standard input. Raises InputError and OSError."""
    return RecordStream("standard input", standard_input(), _record_format(named.format), settings)


def _record_format(name: str) -> Format:
    formats: dict[str, Format] = {"text": TextLines(), "jsonl": JsonLines(), "csv": Csv(), "tsv": Csv("\t")}
    return formats[name]


def _expand(name: str) -> Sequence[str]:
    # A file may have a name that looks like a pattern.
    if name == STANDARD_INPUT or not is_pattern(name):
        if os.path.isdir(name):
            raise InputError(f"{name}: is a folder; name its files, as in '{os.path.join(name, '*.parquet')}'")
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if not os.path.isdir(path))
    if not found:
        raise FileNotFoundError(f"{name}: no file matches")
    return found


def _format_of(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()
    if ending not in _ENDINGS:
        hint = f"; `zcat {path} | filbert encode ... -` reads it" if ending == ".gz" else ""
        raise InputError(
            f"{path}: found the ending {ending!r}, expected one of {', '.join(_ENDINGS)}, or input_format to say what "
            f"it is{hint}"
        )
    return _ENDINGS[ending]
