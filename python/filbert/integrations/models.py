"""The model that an adapter is made with."""

import os
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..sentence import SentenceEncoder


def encoder_of(model: Any, options: Mapping[str, Any]) -> Any:
    """`model` itself, or the SentenceEncoder of that name or folder, with `options` for its `from_pretrained`.

    Raises InputError for options of a model that is loaded already, and what `SentenceEncoder.from_pretrained` raises.
    """
    if isinstance(model, str | os.PathLike):
        return SentenceEncoder.from_pretrained(model, **options)
    if options:
        raise InputError(f"{', '.join(options)}: found options for a model that is loaded already")
    return model
