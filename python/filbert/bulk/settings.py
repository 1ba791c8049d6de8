"""What a bulk job is asked to do, checked before anything is opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..checks import count, integer
from ..encode_options import check_options, check_precision
from ..errors import InputError
from ..optional_packages import need

# Of the parts, which have these names as their endings, too. The first two need pyarrow.
FORMATS = ("parquet", "arrow", "npy", "jsonl")
ON_ERROR = ("raise", "null")


@dataclass(frozen=True)
class Settings:
    """column: of the texts. kept: columns that are copied. options: keywords of `SentenceEncoder.encode`."""

    column: str
    kept: tuple[str, ...]
    format: str
    shard_rows: int
    on_error: str
    precision: str
    options: Mapping[str, Any]

    @property
    def is_typed(self) -> bool:
        """Whether columns of parts have types, those of Arrow."""
        return self.format in ("parquet", "arrow")


def make_settings(
    *,
    column: str,
    id: str | None,
    keep: Iterable[str],
    format: str,
    shard_rows: int,
    on_error: str,
    precision: str | None,
    options: Mapping[str, Any],
) -> Settings:
    """Raises InputError, TypeError for options that a bulk job does not have, and ImportError without pyarrow."""
    precision = check_precision(precision)
    for name, value, known in (
        ("format", format, FORMATS),
        ("on_error", on_error, ON_ERROR),
    ):
        if value not in known:
            raise InputError(f"{name}: found {value!r:.100}, expected one of {', '.join(known)}")
    check_options("filbert.bulk.encode", options)
    if isinstance(keep, str):
        raise InputError(f"keep: found {keep!r:.100}, expected a list of columns")
    kept = tuple(dict.fromkeys([*([] if id is None else [id]), *keep]))
    if "embedding" in kept:
        raise InputError("keep: found 'embedding', which is the name of the column of vectors")
    if format == "npy" and kept:
        raise InputError(f"format: npy files hold vectors alone; to keep {', '.join(kept)} take another format")
    if format == "npy" and on_error == "null" and precision in ("binary", "ubinary"):
        raise InputError(f"on_error: npy files of {precision} vectors have no null; take another format")
    settings = Settings(column, kept, format, count("shard_rows", shard_rows), on_error, precision, dict(options))
    if settings.is_typed:
        need("pyarrow", "arrow")
    return settings


def read_share(shard: str | tuple[int, int] | None) -> tuple[int, int]:
    """Which share of the shards, from 0, of how many: "3/16" or (3, 16). None is all of them. Raises InputError."""
    if shard is None:
        return 0, 1
    found: list[int | None] = []
    if isinstance(shard, str):
        found = [int(part) if part.isdecimal() else None for part in shard.split("/")]
    elif isinstance(shard, tuple | list):
        found = [integer(part) for part in shard]
    if len(found) == 2 and found[0] is not None and found[1] is not None and 0 <= found[0] < found[1]:
        return found[0], found[1]
    raise InputError(f"shard: found {shard!r:.100}, expected 'i/n' or (i, n) with 0 <= i < n: '0/16' to '15/16'")
