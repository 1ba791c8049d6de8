"""A file of texts to a file of vectors."""

import os
import stat
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .atomic import Output
from .errors import InputError
from .sentence import SentenceEncoder


def encode_file(load: Callable[[], SentenceEncoder], source: str, place: str | int, **options: Any) -> None:
    """Writes the vectors of a file's lines ("-": standard input) in the format of .npy files, and prints their shape.

    Args:
        load: gives the encoder; called when the output is open.
        source: the file of texts.
        place: where the vectors go: a path or a descriptor, see `Output`.
        options: of `SentenceEncoder.encode`.

    Raises:
        InputError: the output is the input, or the input is not UTF-8.
        OSError: the input cannot be read, or the output not be written.
    """
    if _same(source, place):
        raise InputError(f"{source}: is both the input and the output")
    with Output(place) as output:
        encoder = load()
        vectors = encoder.encode(_lines(source), **options)
        # Not output.file: in a file NumPy would seek, and a pipe cannot.
        np.save(output, vectors)
        output.commit()
    count, size = vectors.shape
    print(
        f"{output.name}: {count} vectors of {size} float32 numbers",
        file=sys.stderr if output.is_stdout else sys.stdout,
    )


def _same(source: str, place: str | int) -> bool:
    """Whether both are one file. Terminals and sockets are two: what is written there is not what is read."""
    try:
        read, written = os.stat(0 if source == "-" else source), os.stat(place)
    except OSError:  # one of them is not there; opening it says so, if it has to be
        return False
    both_ways = stat.S_ISCHR(read.st_mode) or stat.S_ISSOCK(read.st_mode)
    return os.path.samestat(read, written) and not both_ways


def _lines(source: str) -> list[str]:
    if source == "-":
        data = sys.stdin.buffer.read()
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
