"""Where every output goes: files appear whole or not at all, and what is no plain file is written to, not replaced."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from types import TracebackType
from typing import BinaryIO

from .places import duplicate, follow, same_open_file

STANDARD_OUTPUT = 1


class Output:
    """One file to be written.

        with Output(path) as output:
            output.write(...)
            output.commit()

    A regular file, or a new one, is written beside its place, flushed to disk, and renamed into it by `commit`: until
    then, and after any failure, the old one is there. Its owner and permission bits stay. Links are followed, and stay.
    FIFOs and devices are opened and written to. A descriptor of this process (`Output(1)`, /dev/stdout, /dev/fd/N) is
    duplicated, and written where it stands.

    Attributes:
        name: of the place, for messages.
        is_stdout: whether the bytes appear on standard output, which nothing else may be printed to then.

    Raises:
        OSError: before anything is written, if there is nothing there that can be; or in writing.
    """

    # The new file and its place, until it is there.
    _pending: tuple[str, str] | None = None

    def __init__(self, place: str | bytes | os.PathLike[str] | int) -> None:
        if isinstance(place, int):
            self.name = "standard output" if place == STANDARD_OUTPUT else f"descriptor {place}"
            target: str | int = place
        else:
            self.name = os.fsdecode(place)
            target = follow(self.name)
        self.is_stdout = False
        self._old: os.stat_result | None = None
        with self._naming():
            self.file = self._open(target)
        self.is_stdout = self._pending is None and same_open_file(self.file.fileno(), STANDARD_OUTPUT)

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing the buffer would write what is in it, and wait for the reader of a pipe.
        with suppress(OSError):
            self.file.raw.close()
        self._discard()

    def __del__(self) -> None:
        self._discard()  # Ctrl-C between its making and the `with`

    def _discard(self) -> None:
        if self._pending is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._pending[0])
            self._pending = None

    def write(self, data: bytes) -> int:
        with self._naming():
            return self.file.write(data)

    def commit(self) -> None:
        """Puts the file into its place, or sends the rest on its way."""
        _commit([self])

    def _open(self, target: str | int) -> BufferedWriter:
        if isinstance(target, int):
            return duplicate(target)
        with suppress(FileNotFoundError):
            self._old = os.stat(target)
        if self._old is None:
            return self._open_beside(target, 0o666)
        if stat.S_ISDIR(self._old.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        regular = stat.S_ISREG(self._old.st_mode)
        if regular and not os.path.islink(target):
            # Who may not read the old file may not read the new one in the meantime.
            return self._open_beside(target, 0o600)
        # Neither created nor cut: a regular file here is one that another process writes to.
        return os.fdopen(os.open(target, os.O_WRONLY | os.O_NOCTTY | (os.O_APPEND if regular else 0)), "wb")

    def _open_beside(self, target: str, mode: int) -> BufferedWriter:
        folder, name = os.path.split(target)
        # As much of the name as leaves room for the rest, in bytes.
        temporary = os.path.join(folder, f".{name[:50]}.{os.urandom(4).hex()}.tmp")
        self._pending = (temporary, target)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError:
            self._pending = None
            raise
        return os.fdopen(descriptor, "wb")

    def _finish(self) -> None:
        """All but the rename."""
        with self._naming():
            self.file.close()
            if self._pending is None:
                return
            descriptor = os.open(self._pending[0], os.O_RDONLY)
            try:
                if self._old is not None:
                    # As far as this user and this file system can.
                    with suppress(OSError):
                        os.fchown(descriptor, self._old.st_uid, self._old.st_gid)
                    with suppress(OSError):
                        os.fchmod(descriptor, self._old.st_mode & 0o777)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _rename(self) -> None:
        if self._pending is not None:
            os.replace(*self._pending)
            self._pending = None

    def _folder(self) -> str | None:
        """The folder whose entry `_rename` changes."""
        return None if self._pending is None else os.path.dirname(self._pending[0])

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Errors name the place, rather than nothing or the temporary file; those of standard output need not."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, None if self.is_stdout else self.name) from None


class FileSet:
    """New versions of some files of one folder and those within it, each an Output.

        with FileSet(folder) as files:
            with files.create("config.json") as file:
                file.write(...)
            files.commit()

    Until `commit`, and after any failure, the folder holds what it held before. `commit` renames in the order of
    creation, so the file that names the others (an index) is created last.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._outputs: list[Output] = []

    def __enter__(self) -> "FileSet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for output in self._outputs:
            output.__exit__(kind, error, traceback)

    def within(self, folder: str) -> "FileSet":
        """The part of the set for a folder within this one, which is created if need be. Raises OSError."""
        part = FileSet(os.path.join(self._folder, folder))
        part._outputs = self._outputs
        os.makedirs(part._folder, exist_ok=True)
        return part

    def create(self, name: str) -> BinaryIO:
        """A new file that takes the place of `name` on commit. Raises OSError."""
        output = Output(os.path.join(self._folder, name))
        self._outputs.append(output)
        return output.file

    def commit(self) -> None:
        _commit(self._outputs)


def _commit(outputs: list[Output]) -> None:
    for output in outputs:
        output._finish()
    folders = dict.fromkeys(output._folder() for output in outputs)
    for output in outputs:
        output._rename()
    for folder in folders:
        if folder is not None:
            _sync(folder)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` in UTF-8 to an Output. Raises OSError."""
    with Output(path) as output:
        output.write(text.encode())
        output.commit()
