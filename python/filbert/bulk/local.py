"""One process does all shards of its share, one after the other, with all cores in each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..sentence.encoder import SentenceEncoder
from .fingerprint import Fingerprint
from .manifest import Done, Manifest
from .settings import Settings
from .worker import Worker

Model = SentenceEncoder | str | os.PathLike[str]


def make_worker(model: Model, model_options: Mapping[str, Any], settings: Settings) -> Worker:
    """Loads the model if it is a name. Raises what `SentenceEncoder.from_pretrained` does, and InputError."""
    if not isinstance(model, SentenceEncoder):
        model = SentenceEncoder.from_pretrained(model, **model_options)
    return Worker(model, settings)


class LocalEngine:
    """See `Engine`."""

    def __init__(self, model: Model, model_options: Mapping[str, Any], settings: Settings) -> None:
        self.worker = make_worker(model, model_options, settings)

    @property
    def fingerprint(self) -> Fingerprint:
        return self.worker.fingerprint

    def run(self, manifest: Manifest, numbers: Sequence[int]) -> Iterator[tuple[int, Done]]:
        for number in numbers:
            yield number, self.worker.encode(manifest, number)

    def close(self) -> None:
        pass
