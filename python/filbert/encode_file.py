"""A file of texts to a file of vectors."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .atomic import Output
from .sentence.encoder import SentenceEncoder
from .text_lines import read_lines, refuse_same


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
    refuse_same(source, place)
    with Output(place) as output:
        encoder = load()
        vectors = encoder.encode(read_lines(source), **options)
        # Not output.file: in a file NumPy would seek, and a pipe cannot.
        np.save(output, vectors)
        output.commit()
    count, size = vectors.shape
    print(
        f"{output.name}: {count} vectors of {size} float32 numbers",
        file=sys.stderr if output.is_stdout else sys.stdout,
    )
