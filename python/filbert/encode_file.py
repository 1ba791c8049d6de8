"""A file of texts to a file of vectors."""

import os
import sys
from typing import Any

import numpy as np

from .atomic import FileSet
from .errors import InputError
from .sentence import SentenceEncoder


def encode_file(encoder: SentenceEncoder, source: str, output: str, **options: Any) -> tuple[int, int]:
    """Writes the vectors of a file's lines ("-": standard input) as a .npy file, which appears whole or not at all.

    Returns the array's shape. `options` are those of `SentenceEncoder.encode`. Raises InputError and OSError.
    """
    folder, name = os.path.split(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder for {name}")
    texts = _lines(source)
    vectors = encoder.encode(texts, **options)
    with FileSet(folder) as files:
        with files.create(name) as file:
            np.save(file, vectors)
        files.commit()
    return len(vectors), vectors.shape[1]


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
