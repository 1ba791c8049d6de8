"""A sentence encoder that is given by its name or as it is."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .encoder import SentenceEncoder


def name_of(model: Any) -> Any:
    """The path of a folder as the string that can be stored; else `model` as it is."""
    return os.fspath(model) if isinstance(model, os.PathLike) else model


def encoder_of(model: SentenceEncoder | str | os.PathLike[str], options: Mapping[str, Any]) -> SentenceEncoder:
    """`model` itself, or the SentenceEncoder of that name or folder, with `options` for its `from_pretrained`.

    Raises InputError for options of a model that is loaded already, and what `SentenceEncoder.from_pretrained` raises.
    """
    if not isinstance(model, SentenceEncoder):
        return SentenceEncoder.from_pretrained(model, **options)
    if options:
        raise InputError(f"{', '.join(options)}: found options for a model that is loaded already")
    return model
