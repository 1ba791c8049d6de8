"""A save that fails where a file is created, and what is left of the old files."""

import errno
import os

import pytest

from filbert.atomic import FileSet


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_failing_save(monkeypatch, encoder, folder, failing):
    """The save over its own folder that cannot create the file of this number, from 1 on, changes nothing there."""
    before, calls, create = contents(folder), [], FileSet.create

    def broken(files, name):
        calls.append(name)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create(files, name)

    monkeypatch.setattr(FileSet, "create", broken)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        encoder.save_pretrained(folder)
    assert contents(folder) == before
