"""What a classifier's folder has beside its encoder: the layer after it, and the labels."""

import itertools
import os
from typing import Any

import numpy.typing as npt

from .atomic import FileSet
from .errors import ConfigError, InputError
from .hub import Source
from .jsonfile import read_json, read_object
from .labels import Label, as_labels, encoded
from .sentence.dense import Dense
from .sentence.modules import read_modules
from .sentence.saving import as_json, step_part

# Beside the files of sentence-transformers, which does not look at it.
_LABELS = "text_classifier.json"


def write_classifier(folder: str, labels: list[Label], head: Dense | None) -> None:
    """Adds the labels, and a layer after the last module unless it is there, to a folder with a sentence encoder.

    The labels, without which it is no classifier, are last. Raises OSError and ConfigError.
    """
    with FileSet(folder) as files:
        if head is not None:
            modules = read_json(os.path.join(folder, "modules.json"))
            place = _free_place(folder, len(modules))
            os.makedirs(os.path.join(folder, place), exist_ok=True)
            for name, data in step_part(head).files.items():
                with files.create(f"{place}/{name}") as file:
                    file.write(data)
            kind = "sentence_transformers.models.Dense"
            modules.append({"idx": len(modules), "name": str(len(modules)), "path": place, "type": kind})
            with files.create("modules.json") as file:
                file.write(as_json(modules))
        with files.create(_LABELS) as file:
            file.write(as_json({"labels": labels}))
        files.commit()


def remove_labels(folder: str) -> None:
    """Makes a folder no classifier, until its files are all new. Raises OSError."""
    path = os.path.join(folder, _LABELS)
    if os.path.isfile(path):
        os.remove(os.path.realpath(path))  # a link stays, as it does where a file is written


def is_classifier(source: Source) -> bool:
    """Whether `write_classifier` wrote it. Raises OSError if there is no such repository."""
    return source.find(_LABELS) is not None


def read_labels(source: Source, count: int) -> npt.NDArray[Any]:
    """The labels [count] of a classifier. Raises ConfigError and OSError."""
    path = source.find(_LABELS)
    if path is None:
        raise ConfigError(f"{source.name}: has no {_LABELS}, which TextClassifier.save_pretrained writes")
    labels = read_object(path).get("labels")
    if not isinstance(labels, list):
        raise ConfigError(f"{path}: labels: found {labels!r:.100}, expected a list")
    if len(labels) != count:
        raise ConfigError(f"{path}: found {len(labels)} labels, the model gives {count} numbers")
    try:
        classes, codes = encoded(as_labels(labels, count))
    except InputError as error:
        raise ConfigError(f"{path}: {error}") from None
    if codes.tolist() != list(range(count)):
        raise ConfigError(f"{path}: labels: found {labels!r:.100}, expected different ones, sorted")
    return classes


def _free_place(folder: str, number: int) -> str:
    """A folder for a layer that no module of the encoder is in."""
    taken = {place.split("/")[0] for entries in read_modules(Source(folder)).chains().values() for _, place in entries}
    return next(place for place in (f"{index}_Dense" for index in itertools.count(number)) if place not in taken)
