"""Cutting many sequences into forwards."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

# Tokens in one forward: enough to keep every core busy, few enough for an interrupt and a progress bar.
TOKEN_BUDGET = 8192


def batches(lengths: Sequence[int], batch_size: int | None = None) -> Iterator[list[int]]:
    """Indices in groups of at most `batch_size`, the longest first, within the token budget or one by one."""
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (total + lengths[index] > TOKEN_BUDGET or len(batch) == batch_size):
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += lengths[index]
    if batch:
        yield batch


def packed(rows: Sequence[Sequence[int] | Integers]) -> tuple[Integers, Integers]:
    """Ids [tokens] and cu_seqlens [sequences + 1] of sequences, as `EncoderModel.embed` takes them."""
    if len(rows) == 1:
        return np.array(rows[0], np.int64), np.array([0, len(rows[0])], np.int64)
    bounds = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return np.fromiter(itertools.chain.from_iterable(rows), np.int64, bounds[-1]), bounds
