"""Cutting texts into forwards."""

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import TypeVar

from ..batching import batches
from ..texts import Pair

Tokens = TypeVar("Tokens", bound=Sized)

# Texts tokenised at a time.
_CHUNK = 4096


def forwards(
    texts: Sequence[str | Pair], tokenize: Callable[[list[int]], Sequence[Tokens]], batch_size: int | None = None
) -> Iterator[tuple[list[int], list[Tokens]]]:
    """Of one forward after the other the numbers of its texts, and what `tokenize` makes of each.

    tokenize: gets numbers of texts; the length of what it makes of one is the number of its tokens. The longest texts
    come first: the time left is then never underestimated, nor the memory needed found late.
    """
    order = sorted(range(len(texts)), key=lambda index: -_characters(texts[index]))
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        rows = tokenize(chunk)
        for batch in batches(list(map(len, rows)), batch_size):
            yield [chunk[index] for index in batch], [rows[index] for index in batch]


def _characters(text: str | Pair) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))
