"""The lines of a file, or of what is no file, counted in bytes."""

from collections.abc import Iterator
from typing import BinaryIO

_BOM = b"\xef\xbb\xbf"


class Lines:
    """Lines with their ends, from where a file stands, byte `position`, to byte `end` or the last one.

    `position` goes with what was taken.
    """

    def __init__(self, file: BinaryIO, position: int = 0, end: int | None = None) -> None:
        self._file, self.position, self._end = file, position, end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = b"" if self._end is not None and self.position >= self._end else self._file.readline()
        content = line.removeprefix(_BOM) if self.position == 0 else line
        self.position += len(line)
        if not content:
            raise StopIteration
        return content
