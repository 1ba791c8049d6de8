"""The manifest of a job: what it reads, how that is cut, what its vectors depend on, and what came of it.

It and all that is not a part have names with an underscore in front, which readers of folders of Parquet leave out.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ..errors import InputError
from ..jsonfile import read_object
from .fingerprint import Fingerprint
from .plan import Piece, Shard
from .source import Named
from .whole_files import write_text

NAME = "_manifest.json"
_VERSION = 1


@dataclass(frozen=True)
class SourceState:
    """A source as it was when the job was planned. mtime_ns: of its last change, in nanoseconds."""

    path: str
    format: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str, format: str) -> "SourceState":
        status = os.stat(path)
        return cls(path, format, status.st_size, status.st_mtime_ns)

    @property
    def named(self) -> Named:
        return Named(self.path, self.format)

    def check(self) -> None:
        """Raises InputError if the file is another now, and OSError if there is none."""
        now = SourceState.of(self.path, self.format)
        for what, before, after in (
            ("bytes", self.size, now.size),
            ("a last change at", self.mtime_ns / 1e9, now.mtime_ns / 1e9),
        ):
            if before != after:
                raise InputError(
                    f"{self.path}: changed since the job was planned: found {what} {after}, expected {before}; "
                    "its vectors would be of two different files: start again with another output folder"
                )


@dataclass(frozen=True)
class Done:
    """What came of a shard. rows: in its part. size: of the part in bytes. bad: rows without a vector, by reason."""

    rows: int
    size: int
    bad: dict[str, int]


@dataclass
class Manifest:
    """A job and how far it is.

    folder: where the parts are. format: of them, and their ending. fingerprint: what the vectors depend on, by name.
    sources: the files. shard_rows: rows of each shard but the last. shards: pieces of sources. done: what came of
    each shard; None of those that are not there yet.
    """

    folder: str
    format: str
    fingerprint: Fingerprint
    sources: list[SourceState]
    shard_rows: int
    shards: list[Shard]
    done: list[Done | None] = field(default_factory=list)

    @cached_property
    def digest(self) -> str:
        """Of what the parts depend on: two jobs with the same one write the same bytes."""
        job = {name: value for name, value in self._job().items() if name != "shards"}
        return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether every part is there."""
        return len(self.done) == len(self.shards) > 0 and None not in self.done

    @property
    def parts(self) -> list[str]:
        """The paths of the parts that are there, in the order of the rows."""
        return [self.part(number) for number, done in enumerate(self.done) if done is not None]

    @property
    def rows(self) -> int:
        """How many rows the parts that are there have."""
        return sum(done.rows for done in self.done if done is not None)

    @property
    def bad(self) -> dict[str, int]:
        """How many of those have no vector, by reason."""
        total: dict[str, int] = {}
        for done in filter(None, self.done):
            for reason, rows in done.bad.items():
                total[reason] = total.get(reason, 0) + rows
        return total

    def part(self, number: int) -> str:
        """The path of a part, there or not."""
        return os.path.join(self.folder, f"part-{number:05}.{self.format}")

    def write(self) -> None:
        """Raises OSError."""
        values = self._job()
        if self.is_complete:
            values["done"] = [asdict(done) for done in self.done if done is not None]
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
        write_text(os.path.join(self.folder, NAME), f"{{\n{lines}\n}}\n")

    def _job(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "format": self.format,
            "sources": [asdict(source) for source in self.sources],
            "shard_rows": self.shard_rows,
            "shards": self.shards,
        }

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Manifest":
        """The manifest of a folder, and how far its job is.

        Raises InputError if the folder's is no manifest, or of another version of them, ConfigError if it is no JSON,
        and OSError.
        """
        from .parts import read_done

        folder = os.fspath(folder)
        path = os.path.join(folder, NAME)
        value = read_object(path)
        if value.get("version") != _VERSION:
            raise InputError(f"{path}: version: found {value.get('version')!r}, expected {_VERSION}")
        try:
            manifest = cls(
                folder,
                value["format"],
                value["fingerprint"],
                [SourceState(**source) for source in value["sources"]],
                value["shard_rows"],
                [[(number, Piece(*piece)) for number, piece in shard] for shard in value["shards"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is no manifest of a bulk job ({error!r})") from None
        manifest.done = [read_done(manifest, number) for number in range(len(manifest.shards))]
        return manifest


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """The first value in which two fingerprints differ, in words; None if there is none."""
    for name in [*expected, *(name for name in found if name not in expected)]:
        if found.get(name) != expected.get(name):
            return f"{name}: found {_short(found.get(name))}, expected {_short(expected.get(name))}"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."
