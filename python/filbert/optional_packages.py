"""Packages of the extras: imported where they are used, and named where they are missing."""

from importlib import import_module
from typing import Any


def need(module: str, extra: str) -> Any:
    """The module of that name. Raises ImportError, which says how to install it, if it is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f'{error.name} is not installed, which this needs: pip install "filbert[{extra}]"') from None
