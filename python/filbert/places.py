"""What the path of an output stands for: links are followed to a file, or to an open descriptor of this process."""

import errno
import fcntl
import os
import re
import sys
from contextlib import suppress
from io import BufferedWriter

# Links here are open files, whatever the path behind them says: it may be gone, or be no path at all ("pipe:[7]").
_OPEN_FILE = re.compile(r"/proc/([0-9]+)(?:/task/[0-9]+)?/fd/([0-9]{1,9})")
# As many as Linux follows.
_MOST_LINKS = 40


def follow(path: str) -> str | int:
    """The path behind links, where there may be nothing yet, or the number of this process' own descriptor.

    The only links that come back are open files of other processes. Raises OSError: for a folder, by its slash; for a
    missing folder; for links that lead to each other.
    """
    given = path
    for _ in range(_MOST_LINKS + 1):
        folder, name = os.path.split(path)
        if not name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not os.path.isdir(folder or "."):
            raise FileNotFoundError(errno.ENOENT, f"no such folder for {name}", folder)
        folder = os.path.realpath(folder)
        path = os.path.join(folder, name)
        if match := _OPEN_FILE.fullmatch(path):
            return int(match[2]) if match[1] == os.readlink("/proc/self") else path
        if not os.path.islink(path):
            return path
        path = os.path.join(folder, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), given)


def duplicate(descriptor: int) -> BufferedWriter:
    """A file on the same open file, and so at its present position. Raises OSError where it is not for writing."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "not open for writing")
    # What was printed before comes before.
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # None, closed
            stream.flush()
    return os.fdopen(os.dup(descriptor), "wb")


def same_open_file(first: int, second: int) -> bool:
    """Whether what is written to one descriptor appears among what is written to the other."""
    try:
        return os.path.sameopenfile(first, second)
    except OSError:  # one is closed
        return False
