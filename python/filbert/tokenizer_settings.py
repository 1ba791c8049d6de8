"""Settings of tokenizer_config.json on the way in, and the files of a tokenizer on the way out."""

import json
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Backend

from .atomic import FileSet
from .errors import ConfigError

_FIELDS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")


def length_limit(config: dict[str, Any]) -> int:
    """model_max_length, 1e30 if there is none. Raises ConfigError."""
    key = "model_max_length" if "model_max_length" in config else "max_len"  # as it was called until 2020
    value = config.get(key)
    if value is None:
        return int(1e30)
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or not value >= 1:
        raise ConfigError(f"tokenizer_config.json: {key}: found {value!r}, expected an integer above 0")
    return int(min(value, 1e30))


def side_of(config: dict[str, Any], key: str) -> str:
    """config[key], "right" if there is none. Raises ConfigError for anything but "left" and "right"."""
    side = config.get(key) or "right"
    if side not in ("left", "right", "Left", "Right"):
        raise ConfigError(f"tokenizer_config.json: {key}: found {side!r}, expected 'left' or 'right'")
    return str(side).lower()


def write_tokenizer(files: FileSet, backend: Backend, config: dict[str, Any], over: dict[str, Any]) -> tuple[str, ...]:
    """Creates tokenizer.json and tokenizer_config.json in a set of files, and returns their names.

    over: the settings that win over those of `config`. Raises OSError.
    """
    added = {
        str(index): {field: getattr(token, field) for field in _FIELDS}
        for index, token in sorted(backend.get_added_tokens_decoder().items())
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **config, **over, "added_tokens_decoder": added}
    settings.pop("processor_class", None)  # of images and sounds too, whose files are not written
    contents = {
        "tokenizer.json": backend.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(settings, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in contents.items():
        with files.create(name) as file:
            file.write(text.encode())
    return tuple(contents)
