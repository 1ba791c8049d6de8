"""Files of texts, one a line, as commands read them."""

import errno
import os
import stat
import sys
from typing import BinaryIO

from .errors import InputError


def refuse_same(source: str, place: str | int) -> None:
    """Raises InputError if the file that is read ("-": standard input) is the one that is written to.

    Terminals and sockets are two: what is written there is not what is read.
    """
    try:
        read, written = os.stat(0 if source == "-" else source), os.stat(place)
    except OSError:  # one of them is not there; opening it says so, if it has to be
        return
    both_ways = stat.S_ISCHR(read.st_mode) or stat.S_ISSOCK(read.st_mode)
    if os.path.samestat(read, written) and not both_ways:
        raise InputError(f"{source}: is both the input and the output")


def standard_input() -> BinaryIO:
    """Its bytes. Raises OSError where who started this process has closed it."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard input")
    return sys.stdin.buffer


def read_lines(source: str) -> list[str]:
    """The lines of a file, or of standard input ("-"). Raises OSError, and InputError if they are not UTF-8."""
    if source == "-":
        data = standard_input().read()
    else:
        with open(source, "rb") as file:
            data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}: line {line} is not UTF-8 (byte {error.start})") from None
    # Only line ends count: str.splitlines would also split at form feeds and Unicode separators.
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines
