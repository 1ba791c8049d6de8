"""The records of what came of the shards, one beside each part."""

import json
import os
from dataclasses import asdict

from ..errors import ConfigError, InputError
from ..jsonfile import read_object
from .manifest import Done, Manifest
from .whole_files import write_text

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
