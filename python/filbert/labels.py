"""Labels of texts: strings, integers or booleans, all of one kind."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import integer
from .errors import InputError
from .texts import as_list, check_text

Label = str | int | bool
Codes = npt.NDArray[np.intp]


def as_labels(value: Any, count: int) -> list[Label]:
    """The labels of so many texts, as Python's own values, from a list, an array [n], a Series or an iterator.

    Raises InputError for another number of them, and naming the first that is none, or of another kind than label 0.
    """
    found = as_list("labels", value, "a list of labels")
    if len(found) != count:
        raise InputError(f"labels: found {len(found)} for {count} texts, expected one for each")
    labels = [_plain(index, label) for index, label in enumerate(found)]
    for index, label in enumerate(labels):
        if type(label) is not type(labels[0]):
            kind = type(labels[0]).__name__
            raise InputError(f"label {index}: found {label!r} ({type(label).__name__}), expected {kind} as label 0 is")
    return labels


def encoded(labels: list[Label]) -> tuple[npt.NDArray[Any], Codes]:
    """The different labels [classes] in their order, and of each of `labels` the number among these: intp [n].

    Raises InputError if there are fewer than two.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise InputError(f"labels: found {found}, expected two different ones or more")
    numbers = {label: number for number, label in enumerate(classes)}
    return np.array(classes), np.array([numbers[label] for label in labels], np.intp)


def _plain(index: int, label: Any) -> Label:
    if isinstance(label, str):
        check_text("label", index, label)
        return str(label)
    if isinstance(label, bool | np.bool_):
        return bool(label)
    number = integer(label)
    if number is None:
        raise InputError(
            f"label {index}: found {label!r:.100} ({type(label).__name__}), expected a string, an integer or a boolean"
        )
    return number
