"""Files that appear whole or not at all: written beside their place, flushed to disk, then renamed into it."""

import os
import secrets
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO


class FileSet:
    """New versions of some files of one folder.

        with FileSet(folder) as files:
            with files.create("config.json") as file:
                file.write(...)
            files.commit()

    Until `commit`, and after any failure, the folder holds what it held before. `commit` renames in the order of
    creation, so the file that names the others (an index) is created last.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._pending: list[tuple[str, str]] = []

    def __enter__(self) -> "FileSet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for temporary, _ in self._pending:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def create(self, name: str) -> BinaryIO:
        """A new file that takes the place of `name` on commit."""
        temporary = os.path.join(self._folder, f".{name}.{secrets.token_hex(4)}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 - the caller closes it
        self._pending.append((temporary, os.path.join(self._folder, name)))
        return file

    def commit(self) -> None:
        for temporary, _ in self._pending:
            _sync(temporary)
        while self._pending:
            os.replace(*self._pending[0])
            del self._pending[0]
        _sync(self._folder)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path` by `text` in UTF-8, atomically."""
    folder, name = os.path.split(os.path.abspath(path))
    with FileSet(folder) as files:
        with files.create(name) as file:
            file.write(text.encode())
        files.commit()
