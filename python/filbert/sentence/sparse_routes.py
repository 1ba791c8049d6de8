"""From texts to their sparse vectors: by a model for masked words (SPLADE), or by a table of weights of tokens."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..auto import AutoModelForMaskedLM
from ..batching import packed
from ..errors import ConfigError, WeightsError
from ..hub import Source
from ..jsonfile import read_object
from ..scores import Floats
from ..tasks import ForMaskedLM
from ..tokenization import AutoTokenizer, Tokenizer
from ..weights import as_array, open_weights
from .loading import load_parts
from .sparse import SparseVector
from .sparse_modules import SparseModules, SpladeFiles, TableFiles
from .token_batches import token_batches

# Logits that are held at a time: the largest ones of some texts, and where those of all tokens are added up, of some
# tokens, with a pass of the encoder for each such part of a text.
_MAX_BYTES = 8 << 20
_SUM_BYTES = 64 << 20
_LARGEST = float(np.finfo(np.float32).max)

Vectors = Iterator[tuple[int, SparseVector]]


class Route(Protocol):
    """A way from a text to its vector."""

    tokenizer: Tokenizer

    @property
    def model(self) -> ForMaskedLM | None:
        """What runs, if anything does."""

    @property
    def size(self) -> int:
        """Numbers of a vector."""

    def vectors(self, texts: Sequence[str], batch_size: int | None) -> Vectors:
        """The index and the vector of each text, in any order. Raises InputError and MemoryError."""


class SpladeRoute:
    """log(1 + relu(logit)) of each word of the vocabulary, of the token where it is largest or of all tokens."""

    def __init__(self, model: ForMaskedLM, tokenizer: Tokenizer, files: SpladeFiles) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.files = files

    @property
    def size(self) -> int:
        return self.model.vocabulary

    def vectors(self, texts: Sequence[str], batch_size: int | None) -> Vectors:
        adds = self.files.pooling == "sum"
        fitting = 1 if adds else max(1, _MAX_BYTES // (4 * self.size))
        batch_size = fitting if batch_size is None else min(batch_size, fitting)
        for indices, rows in token_batches(self.tokenizer, texts, vocabulary=self.size, batch_size=batch_size):
            yield from zip(indices, map(self._sum, rows) if adds else self._largest(rows), strict=True)

    def __repr__(self) -> str:
        normalised = ", normalised" if self.files.normalize else ""
        return f"{self.model!r}, {self.files.pooling} of log(1 + {self.files.activation}){normalised}"

    def _largest(self, rows: list[list[int]]) -> Iterator[SparseVector]:
        # What comes after the maximum never makes a larger logit the smaller number: one is enough.
        for logits in self.model.max_logits(*packed(rows)):
            yield self._sparse(logits)

    def _sparse(self, logits: Floats) -> SparseVector:
        kept = np.flatnonzero(np.maximum(logits, 0, out=logits))  # which leaves NaN as it is
        return self._normalized(self._activate(logits[kept]), kept)

    def _sum(self, row: list[int]) -> SparseVector:
        ids, bounds = packed([row])
        part = max(1, _SUM_BYTES // (4 * self.size))
        total = np.zeros(self.size)
        for start in range(0, len(row), part):
            tokens = np.arange(start, min(start + part, len(row)))
            logits = self.model.run_packed(ids, bounds, rows=tokens)
            total += self._activate(np.maximum(logits, 0, out=logits)).sum(axis=0, dtype=np.float64)
        kept = np.flatnonzero(total)
        return self._normalized(total[kept].astype(np.float32), kept)

    def _activate(self, logits: Floats) -> Floats:
        for _ in range(1 if self.files.activation == "relu" else 2):
            np.log1p(logits, out=logits)
        return logits

    def _normalized(self, data: Floats, columns: npt.NDArray[np.int64]) -> SparseVector:
        data = normalized(data) if self.files.normalize else data
        return SparseVector(data, columns.astype(np.int32), self.size)


class TableRoute:
    """The weight of each token that a text has, however often. No model runs, and there are no special tokens."""

    model = None

    def __init__(self, weights: Floats, tokenizer: Tokenizer, files: TableFiles) -> None:
        self.tokenizer = tokenizer
        self.weights = weights
        self.files = files

    @property
    def size(self) -> int:
        return len(self.weights)

    def vectors(self, texts: Sequence[str], batch_size: int | None) -> Vectors:
        found = token_batches(self.tokenizer, texts, vocabulary=self.size, add_special_tokens=False)
        for indices, rows in found:
            yield from zip(indices, map(self._vector, rows), strict=True)

    def __repr__(self) -> str:
        return f"{self.size} weights of tokens{', normalised' if self.files.normalize else ''}"

    def _vector(self, row: list[int]) -> SparseVector:
        tokens = np.unique(np.array(row, np.int32))
        tokens = tokens[self.weights[tokens] != 0]
        data = self.weights[tokens]
        return SparseVector(normalized(data) if self.files.normalize else data, tokens, self.size)


def normalized(data: Floats) -> Floats:
    """The numbers divided by max(the length of their vector, 1e-12)."""
    length = np.sqrt(np.square(data, dtype=np.float64).sum())
    scaled: Floats = (data / max(length, 1e-12)).astype(np.float32)
    return scaled


def load_routes(source: Source, modules: SparseModules, where: dict[str, Any], **options: Any) -> dict[str, Route]:
    """The routes by their names; those with one Transformer share it. where: keywords of the place of the files.

    options: of the model. Raises ConfigError, WeightsError, InputError, DeviceError and OSError.
    """
    models: dict[str, tuple[ForMaskedLM, Tokenizer]] = {}
    routes: dict[str, Route] = {}
    for name, files in modules.routes.items():
        if isinstance(files, TableFiles):
            routes[name] = _load_table(source, files, where)
            continue
        folder = files.transformer.transformer
        if folder not in models:
            models[folder] = load_parts(source, files.transformer, where, AutoModelForMaskedLM, **options)
        routes[name] = SpladeRoute(*models[folder], files)
    return routes


def _load_table(source: Source, files: TableFiles, where: dict[str, Any]) -> TableRoute:
    inner = Source(source.name, **where, subfolder=files.folder)
    tokenizer = AutoTokenizer.from_pretrained(source.name, **where, subfolder=files.folder)
    config = inner.find("config.json")
    settings = read_object(config) if config is not None else {}
    files.frozen = settings.get("frozen") is True
    named = settings.get("path")
    if isinstance(named, str) and named.endswith(".json"):
        weights = _table_of_json(inner.get(named), tokenizer)
    else:
        weights = _table_of_tensors(inner, tokenizer)
    return TableRoute(weights, tokenizer, files)


def _table_of_tensors(source: Source, tokenizer: Tokenizer) -> Floats:
    """Or of idf.json, where there are none."""
    try:
        path = source.weights()
    except FileNotFoundError:
        idf = source.find("idf.json")
        if idf is None:
            raise
        return _table_of_json(idf, tokenizer)
    tensors = open_weights(path)
    if "weight" not in tensors.names() or len(tensors.shape("weight")) != 1:
        found = {name: list(tensors.shape(name)) for name in tensors.names()}
        raise WeightsError(f"{path}: found {found!s:.200}, expected a tensor weight, one number a token")
    return as_array(tensors, "weight").astype(np.float32)


def _table_of_json(path: str, tokenizer: Tokenizer) -> Floats:
    """From an object of tokens; all others weigh nothing."""
    ids = tokenizer.get_vocab()
    weights = np.zeros(max(ids.values(), default=-1) + 1, np.float32)
    for token, weight in read_object(path).items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool) and abs(weight) < _LARGEST
        if token not in ids or not is_number:
            raise ConfigError(f"{path}: found {token!r:.100}: {weight!r:.100}, expected numbers of known tokens")
        weights[ids[token]] = weight
    return weights
