"""The files of a job: parts, which appear whole, and beside each a record that it is done."""

import fcntl
import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

from ..atomic import Output, write_text
from ..errors import ConfigError, InputError
from ..jsonfile import read_object
from .manifest import Done, Manifest

RECORDS = "_done"


def read_done(manifest: Manifest, number: int) -> Done | None:
    """What came of a shard; None if its part is not there, or not as it was written.

    Raises InputError if it is of another job, ConfigError if the record is no JSON, and OSError.
    """
    path = _record(manifest, number)
    try:
        value = read_object(path)
        size = os.path.getsize(manifest.part(number))
    except FileNotFoundError:
        return None
    if value.get("job") != manifest.digest:
        raise InputError(f"{path}: is of another job than the manifest beside it; take another output folder")
    try:
        done = Done(value["rows"], value["size"], value["bad"])
    except KeyError as error:
        raise ConfigError(f"{path}: has no {error}") from None
    return done if done.size == size else None


def write_done(manifest: Manifest, number: int, rows: int, bad: dict[str, int]) -> Done:
    """To be called when the part is there. Raises OSError."""
    done = Done(rows, os.path.getsize(manifest.part(number)), bad)
    write_text(_record(manifest, number), json.dumps({"job": manifest.digest, **asdict(done)}) + "\n")
    return done


def _record(manifest: Manifest, number: int) -> str:
    return os.path.join(manifest.folder, RECORDS, f"{number:05}.json")


@contextmanager
def new_part(path: str) -> Iterator[Output]:
    """An output that is to become a part, locked until it is one or gone: what is not locked is of a killed process."""
    while True:
        with Output(path) as output:
            # The file is closed before it is renamed; this holds the lock until after that.
            lock = os.dup(output.file.fileno())
            try:
                with suppress(OSError):  # file systems without locks, where what is left behind stays
                    fcntl.flock(lock, fcntl.LOCK_SH)
                if os.fstat(lock).st_nlink:  # not taken for one that was left behind, before it was locked
                    yield output
                    return
            finally:
                os.close(lock)


def remove_left_behind(folder: str) -> None:
    """Removes what killed processes were writing. Raises nothing: what cannot be removed is in nobody's way."""
    for path in glob.glob(os.path.join(glob.escape(folder), ".part-*.tmp")):
        with suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
