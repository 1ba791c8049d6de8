"""What a tokenizer returns, and padding it to a rectangle."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .errors import InputError

# What is put at padded places of each column; input_ids and token_type_ids get the tokenizer's own.
_FILL = {"attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}


class BatchEncoding(dict[str, Any]):
    """Columns by name: input_ids, token_type_ids, attention_mask...; `model(**encoding)` runs a model on it.

    `encoding["input_ids"]` and `encoding.input_ids` are the same. Each column is a list of integers for one text, a
    list of lists for a batch, or a [batch, seq] int64 array or tensor if `return_tensors` was given.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it has {', '.join(self)}") from None

    def to(self, device: Any) -> "BatchEncoding":
        """A copy with its PyTorch tensors on `device`; other values stay as they are."""
        return BatchEncoding({key: value.to(device) if hasattr(value, "to") else value for key, value in self.items()})


def pad_columns(
    columns: dict[str, list[list[Any]]], length: int, side: str, pad_id: int, pad_type_id: int
) -> dict[str, list[list[Any]]]:
    """The columns with every row filled up to `length` on that side; longer rows and unknown columns stay."""
    fill: dict[str, Any] = {**_FILL, "input_ids": pad_id, "token_type_ids": pad_type_id}
    padded = {}
    for name, rows in columns.items():
        if name in fill:
            filling = [[fill[name]] * (length - len(row)) for row in rows]
            pairs = zip(rows, filling, strict=True)
            rows = [row + more if side == "right" else more + row for row, more in pairs]
        padded[name] = rows
    return padded


def as_tensors(columns: Mapping[str, Iterable[Any]], kind: str) -> BatchEncoding:
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
        arrays[name] = array if array.ndim > 1 else array.reshape(len(array), 0)  # no rows
    if kind == "np":
        return BatchEncoding(arrays)
    if kind != "pt":
        raise InputError(f"return_tensors: found {kind!r}, expected None, 'np' or 'pt'")
    import torch

    return BatchEncoding({name: torch.from_numpy(array) for name, array in arrays.items()})
