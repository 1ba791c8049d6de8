"""Groups of vectors that are close to one of them."""

from typing import Any

import numpy as np

from ..checks import count
from ..progress import Bar
from ..scores import Floats
from ..sentence.vectors import as_rows, normalize
from .search import SCORES_AT_ONCE, Integers, block
from .similarities import dot_score


def community_detection(
    embeddings: Any,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
) -> list[list[int]]:
    """Groups of vectors whose cosine with one of them, the centre, is at least a threshold.

    The vector with the most others around it is the first centre; a vector is of one group at most. Vectors are
    compared twice, first to count, so that memory does not grow with the number of those that are close.

    Args:
        embeddings: vectors [n, hidden]; an array, a tensor or a list.
        threshold: the least cosine with the centre.
        min_community_size: the fewest vectors of a group, its centre included.
        batch_size: vectors compared with all at a time, at most; no result depends on it.
        show_progress_bar: whether to show one.

    Returns:
        The numbers of the vectors of each group: the centre first, the others by their cosines with it, of equal ones
        by numbers. The largest group first, of equal ones that whose centre had more vectors around it, then the lower.

    Raises:
        InputError: for what is no vectors. MemoryError.
    """
    smallest, rows = count("min_community_size", min_community_size), count("batch_size", batch_size)
    vectors = normalize(as_rows("embeddings", embeddings))
    least = np.float32(threshold)
    around = _counts(vectors, least, rows, show_progress_bar)
    centres = np.argsort(-around, kind="stable")
    centres = centres[around[centres] >= smallest]
    groups: list[list[int]] = []
    is_free = np.ones(len(vectors), bool)
    rows = min(rows, max(1, SCORES_AT_ONCE // max(1, len(vectors))))
    while len(centres := centres[is_free[centres]]):
        some, centres = centres[:rows], centres[rows:]
        for centre, cosines in zip(some.tolist(), dot_score(vectors[some], vectors), strict=True):
            if is_free[centre]:
                close = np.flatnonzero((cosines >= least) & is_free)
                if len(close) >= smallest:
                    close = close[np.argsort(-cosines[close], kind="stable")]
                    groups.append([centre, *close[close != centre].tolist()])
                    is_free[close] = False
    return sorted(groups, key=len, reverse=True)


def _counts(vectors: Floats, least: np.float32, rows: int, show: bool) -> Integers:
    """For each vector of length 1, how many have a cosine of at least that with it."""
    found = np.zeros(len(vectors), np.int64)
    columns = block(len(vectors), rows)
    with Bar(len(vectors), show, "Finding clusters", "vector") as bar:
        for begin in range(0, len(vectors), rows):
            some = vectors[begin : begin + rows]
            for first in range(0, len(vectors), columns):
                cosines = dot_score(some, vectors[first : first + columns])
                found[begin : begin + rows] += np.count_nonzero(cosines >= least, axis=1)
            bar.update(len(some))
    return found
