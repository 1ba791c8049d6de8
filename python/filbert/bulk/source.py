"""What a source of rows is, and which columns one has to have."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import InputError
from .plan import Piece
from .rows import Rows
from .settings import Settings

# Names in a message.
_LISTED = 20


class Named(NamedTuple):
    """A source that is to be opened: its path and how it is read."""

    path: str
    format: str


class Columns(Protocol):
    """What has columns."""

    path: str

    def samples(self, name: str) -> Any:
        """Some values of a column, a list; or its type in Arrow, where it has one."""


class Source(Columns, Protocol):
    """A file of rows. Every method raises InputError, with the name of the file, and OSError."""

    def check(self) -> None:
        """Raises InputError for columns that are not there, or twice, or are none of texts."""

    def cut(self, room: int, every: int) -> Iterator[Piece]:
        """All of it in pieces of `every` rows, the first of `room` rows; the last may have fewer."""

    def read(self, piece: Piece) -> Iterator[Rows]:
        """The rows of a piece."""


def check_columns(path: str, names: Sequence[str], settings: Settings, has_columns: bool) -> None:
    """Raises InputError for columns that are asked for and not among `names`, which it lists, or there twice."""
    wanted = [settings.column, *settings.kept] if has_columns else settings.kept
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(f"{path}: column {name!r}: found {names.count(name)} of that name, expected one")
    missing = [name for name in wanted if name not in names]
    if not missing or (has_columns and not names):
        return
    listed = ", ".join(f"{name:.100}" for name in names[:_LISTED])
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    raise InputError(f"{path}: no column {missing[0]!r}; it has {listed or 'none, being lines of text'}{more}")
