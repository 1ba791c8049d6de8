"""The folder of a job: begun, found, or refused."""

import os
from typing import Any

from ..errors import InputError
from .manifest import NAME, Done, Manifest, difference
from .parts import RECORDS


def find_job(folder: str, resume: bool) -> Manifest | None:
    """The job of a folder; None if it is empty or not there.

    Raises InputError if there are other files, or if a job is found that is not to be gone on with, and OSError.
    """
    if not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise NotADirectoryError(f"{folder}: is a file; expected a folder, new, empty or of the same job")
        return None
    if os.path.exists(os.path.join(folder, NAME)):
        if not resume:
            raise InputError(f"{folder}: holds a job already; resume=True goes on with it, or take another folder")
        return Manifest.read(folder)
    others = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name != RECORDS)
    if others:
        raise InputError(f"{folder}: holds {others[0]!r} but no {NAME}; expected a folder that is new or empty")
    return None


def begin(manifest: Manifest) -> list[Done | None]:
    """Writes the manifest of a new job, or finds that another process has begun the same one; and what is done of it.

    Raises InputError if it is another one, and OSError.
    """
    os.makedirs(os.path.join(manifest.folder, RECORDS), exist_ok=True)
    if not os.path.exists(os.path.join(manifest.folder, NAME)):
        manifest.write()
    found = Manifest.read(manifest.folder)
    check_same(found, manifest)
    return found.done


def check_same(found: Manifest, expected: Manifest) -> None:
    """Raises InputError, with what differs, unless both write the same parts."""
    what = difference(found.fingerprint, expected.fingerprint)
    if what is None and found.digest != expected.digest:
        what = difference(_reading(found), _reading(expected)) or "its sources had other sizes or times"
    if what is not None:
        if what.startswith("isa:"):
            what += " (FILBERT_CPU_ISA forces the same instruction set on all machines)"
        raise InputError(
            f"{os.path.join(found.folder, NAME)}: is of another job: {what}. Vectors of both would not fit each "
            "other: take another output folder"
        )


def _reading(manifest: Manifest) -> dict[str, Any]:
    named = {f"source {number}": source.path for number, source in enumerate(manifest.sources)}
    return {"format": manifest.format, "shard_rows": manifest.shard_rows, "number of sources": len(named), **named}
