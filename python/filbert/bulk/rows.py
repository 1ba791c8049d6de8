"""Rows on their way from a source to a part: some thousand at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# What is in memory at a time: vectors of so many rows, and texts of about so many bytes.
MOST_ROWS = 8192
MOST_BYTES = 32 << 20


class Row(NamedTuple):
    """One row: its text, whatever that is; the values of the columns that are kept; or why it cannot be read."""

    text: Any
    kept: Sequence[Any]
    problem: str | None = None


@dataclass
class Rows:
    """Consecutive rows of a source.

    path: of the source. first: the number of the first one there. texts: of each row, whatever was found. kept: a list
    or an array of Arrow for each column. problems: of rows, counted from the first, that cannot be read.
    """

    path: str
    first: int
    texts: list[Any]
    kept: dict[str, Any]
    problems: dict[int, str] = field(default_factory=dict)

    def part(self, begin: int, end: int) -> "Rows":
        """Those from `begin` up to `end`, counted from the first."""
        problems = {index - begin: why for index, why in self.problems.items() if begin <= index < end}
        kept = {name: column[begin:end] for name, column in self.kept.items()}
        return Rows(self.path, self.first + begin, self.texts[begin:end], kept, problems)


def gather(path: str, rows: Iterator[tuple[Row, int]], first: int, names: Sequence[str]) -> Iterator[Rows]:
    """Rows with the bytes that each took in its file, to some thousand each, fewer where they are long."""
    some: list[Row] = []
    size = 0
    for row, length in rows:
        some.append(row)
        size += length
        if len(some) == MOST_ROWS or size >= MOST_BYTES:
            yield _columns(path, some, first, names)
            first += len(some)
            some, size = [], 0
    if some:
        yield _columns(path, some, first, names)


def _columns(path: str, rows: list[Row], first: int, names: Sequence[str]) -> Rows:
    return Rows(
        path,
        first,
        [row.text for row in rows],
        {name: [row.kept[index] for row in rows] for index, name in enumerate(names)},
        {index: row.problem for index, row in enumerate(rows) if row.problem is not None},
    )
