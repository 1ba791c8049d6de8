"""What a tokenizer returns, and padding it to a rectangle."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding as Tokens

from .errors import InputError
from .token_places import TokenPlaces

# What is put at padded places of each column; input_ids and token_type_ids get the tokenizer's own.
_FILL = {"attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}
# Columns of one number a row; the others have one a token.
_OF_ROWS = ("length", "overflow_to_sample_mapping")
# Columns that are read from encodings, and what they are called there.
_ATTRIBUTES = {
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


class BatchEncoding(TokenPlaces, dict[str, Any]):
    """Columns by name: input_ids, token_type_ids, attention_mask...; `model(**encoding)` runs a model on it.

    `encoding["input_ids"]` and `encoding.input_ids` are the same. Each column is a list of integers for one text, a
    list of lists for a batch, or a [batch, seq] int64 array or tensor if `return_tensors` was given. `encoding[0]` is
    the `tokenizers.Encoding` of the first row, `encoding[:2]` those of two. See also TokenPlaces.
    """

    def __init__(
        self, columns: Mapping[str, Any], encodings: list[Tokens] | Callable[[], list[Tokens]] | None = None
    ) -> None:
        """encodings: one a row, or what makes them when they are asked for; None: they are not known."""
        super().__init__(columns)
        self._encodings = encodings

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it has {', '.join(self)}") from None

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return (self.encodings or [])[key] if isinstance(key, slice) else self._row(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchEncoding, (dict(self), self.encodings)

    @property
    def data(self) -> "BatchEncoding":
        """The columns: itself, since it is a dict."""
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> "BatchEncoding":
        """Puts its PyTorch tensors on `device`, and returns itself; other values stay as they are."""
        for name, value in self.items():
            if hasattr(value, "to"):
                self[name] = value.to(device, non_blocking=non_blocking)
        return self

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> "BatchEncoding":
        """Makes its columns int64 arrays ("np") or PyTorch tensors ("pt"), and returns itself.

        prepend_batch_axis: they are those of one text, and become those of a batch of one. Raises InputError.
        """
        if tensor_type is not None:
            columns = {name: [value] for name, value in self.items()} if prepend_batch_axis else dict(self)
            self.update(as_tensors(columns, tensor_type))
        return self


def columns_of(encodings: list[Tokens], names: Iterable[str]) -> dict[str, list[Any]]:
    """The columns of those names, a row an encoding."""
    columns: dict[str, list[Any]] = {}
    for name in names:
        attribute = _ATTRIBUTES[name]
        columns[name] = [getattr(tokens, attribute) for tokens in encodings]
    return columns


class Filling(NamedTuple):
    """What rows are filled up with, to which length and on which side."""

    length: int
    side: str
    pad_id: int
    pad_type_id: int
    pad_token: str


def filled(parts: Iterable[Iterable[Tokens]], filling: Filling | None) -> list[Tokens]:
    """The encodings of all parts in a row, filled up in place; longer ones stay."""
    encodings = [tokens for rows in parts for tokens in rows]
    if filling is not None:
        for tokens in encodings:
            tokens.pad(
                filling.length,
                direction=filling.side,
                pad_id=filling.pad_id,
                pad_type_id=filling.pad_type_id,
                pad_token=filling.pad_token,
            )
    return encodings


def pad_columns(columns: dict[str, list[list[Any]]], filling: Filling) -> dict[str, list[list[Any]]]:
    """The columns with every row filled up; longer rows and unknown columns stay."""
    fill: dict[str, Any] = {**_FILL, "input_ids": filling.pad_id, "token_type_ids": filling.pad_type_id}
    padded = {}
    for name, rows in columns.items():
        if name in fill:
            more = [[fill[name]] * (filling.length - len(row)) for row in rows]
            pairs = zip(rows, more, strict=True)
            rows = [row + extra if filling.side == "right" else extra + row for row, extra in pairs]
        padded[name] = rows
    return padded


def as_tensors(columns: Mapping[str, Iterable[Any]], kind: str) -> dict[str, Any]:
    """The columns as int64 arrays ("np") or PyTorch tensors ("pt"). Raises InputError if rows differ in length."""
    arrays = {}
    for name, rows in columns.items():
        try:
            array = np.asarray(rows, dtype=np.int64)
        except (ValueError, TypeError):
            raise InputError(
                f"{name}: the rows differ in length, so they make no [batch, seq] array; ask for padding=True, and "
                "truncation=True for texts that are too long, or leave out return_tensors: filbert takes ragged lists"
            ) from None
        has_no_rows = array.shape == (0,) and name not in _OF_ROWS
        arrays[name] = array.reshape(0, 0) if has_no_rows else array
    if kind == "np":
        return arrays
    if kind != "pt":
        raise InputError(f"return_tensors: found {kind!r}, expected None, 'np' or 'pt'")
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}
