"""Reading the small JSON files beside the weights: tokenizer, sentence and module settings."""

import json
from typing import Any

from .errors import ConfigError
from .files import read_file

# Far above any real file of the kind; keeps a wrong file from being read whole.
_MAX_BYTES = 16 * 1024 * 1024


def read_json(path: str) -> Any:
    """The value that a JSON file holds. Raises ConfigError (with path, line and column) and OSError."""
    data = read_file(path, _MAX_BYTES, ConfigError)
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (RecursionError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise ConfigError(f"{path}: {error}") from None


def read_object(path: str) -> dict[str, Any]:
    """The object that a JSON file holds. Raises ConfigError and OSError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: found {type(value).__name__}, expected an object")
    return value
