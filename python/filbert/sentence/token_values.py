"""What `SentenceEncoder.encode` gives of tokens."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .chain import Encoded
from .vectors import quantize_each


def token_vectors(
    encoded: list[Encoded], single: bool, with_offsets: bool, as_tensors: bool, precision: str, ranges: Any
) -> Any:
    """A list of the vectors [tokens, hidden] of each text; with offsets, a list of these [tokens, 2] too.

    single: of the first text alone. precision, ranges: see `quantize_each`. Raises InputError.
    """
    convert = _converter(as_tensors)
    vectors = [convert(rows) for rows in quantize_each([each.vectors for each in encoded], precision, ranges)]
    offsets = [each.offsets for each in encoded]
    if single:
        return (vectors[0], offsets[0]) if with_offsets else vectors[0]
    return (vectors, offsets) if with_offsets else vectors


def everything(
    encoded: list[Encoded], dimension: int | None, single: bool, with_offsets: bool, as_tensors: bool
) -> Any:
    """A dict for each text, or for the single one. dimension: numbers of the vector of a text that are kept."""
    convert = _converter(as_tensors)
    found = [
        {
            "input_ids": convert(each.ids),
            "attention_mask": convert(np.ones_like(each.ids)),
            "token_embeddings": convert(each.vectors),
            "sentence_embedding": convert(each.vector[:dimension]),
            **({"offset_mapping": each.offsets} if with_offsets else {}),
        }
        for each in encoded
    ]
    return found[0] if single else found


def _converter(as_tensors: bool) -> Callable[[Any], Any]:
    if not as_tensors:
        return np.asarray
    import torch

    converter: Callable[[Any], Any] = torch.from_numpy
    return converter
