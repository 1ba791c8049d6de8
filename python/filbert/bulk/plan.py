"""Cutting sources into shards: the same ones wherever it is done."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol


class Piece(NamedTuple):
    """Consecutive rows of one source.

    begin, end: bytes of a file of records, rows of a table. first: the number of the first row there. rows: how many.
    """

    begin: int
    end: int
    first: int
    rows: int


class Cuttable(Protocol):
    def cut(self, room: int, every: int) -> Iterator[Piece]: ...


# Pieces, each with the number of its source.
Shard = list[tuple[int, Piece]]


def plan(sources: Iterable[Cuttable], shard_rows: int) -> list[Shard]:
    """Shards of `shard_rows` rows of all sources one after the other, the last of fewer.

    Shard k begins at row k * shard_rows, whatever files the rows are in. Without any row there is one, empty shard, so
    that there is a part to read.
    """
    shards: list[Shard] = [[]]
    room = shard_rows
    for number, source in enumerate(sources):
        for piece in source.cut(room or shard_rows, shard_rows):
            if not room:
                shards.append([])
                room = shard_rows
            shards[-1].append((number, piece))
            room -= piece.rows
    return shards
