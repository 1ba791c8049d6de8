"""Files that appear whole, and what killed processes were writing, which can be told from what is being written."""

import fcntl
import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..atomic import Output

# What Output calls the parts, the manifest and the records of parts until they are whole.
_OWN = re.compile(r"/\.(part-\d{5,}\.\w+|_manifest\.json|\d{5,}\.json)\.[0-9a-f]{8}\.tmp$")


@contextmanager
def new_file(path: str) -> Iterator[Output]:
    """An Output, locked until it is in its place or gone: what is not locked is of a killed process. Raises OSError."""
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


def write_text(path: str, text: str) -> None:
    """Writes `text` in UTF-8. Raises OSError."""
    with new_file(path) as output:
        output.write(text.encode())
        output.commit()


def remove_left_behind(folder: str) -> None:
    """Removes what killed processes were writing into a folder. What cannot be removed is in nobody's way."""
    for path in filter(_OWN.search, glob.glob(os.path.join(glob.escape(folder), ".*.tmp"))):
        with suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
