"""Arguments that are counts: Python's and NumPy's integers, and nothing else."""

import operator
from typing import Any

from .errors import InputError


def integer(value: Any) -> int | None:
    """`value` as an int if it is an integer of Python, NumPy or any library; None for anything else, booleans too."""
    if type(value).__name__ in ("bool", "bool_"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def count(name: str, value: Any, largest: int | None = None) -> int:
    """`value` as an int. Raises InputError unless it is an integer above 0, and at most `largest`."""
    number = integer(value)
    if number is None or number < 1 or (largest is not None and number > largest):
        expected = "an integer above 0" if largest is None else f"an integer from 1 to {largest}"
        raise InputError(f"{name}: found {value!r:.100}, expected {expected}")
    return number


def optional_count(name: str, value: Any, largest: int | None = None) -> int | None:
    """`value` as an int, or None for None. Raises InputError as `count` does."""
    return None if value is None else count(name, value, largest)
