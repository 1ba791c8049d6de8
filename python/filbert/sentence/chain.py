"""A chain of modules: from texts to the vectors of their tokens, and to vectors of the texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..batching import packed
from ..encoder import EncoderModel
from ..errors import ConfigError
from ..progress import Bar
from ..tokenization import Tokenizer
from .cuts import Cuts
from .forwards import forwards
from .pooling import ENGINE_MODES, Pooling
from .router import Entry
from .steps import Normalize, Step
from .vectors import Floats, normalize

Integers = npt.NDArray[np.int64]


@dataclass
class Encoded:
    """One text: ids [tokens], the vectors of its tokens [tokens, hidden], and the characters of each, [begin, end)."""

    ids: Integers
    vectors: Floats
    offsets: Integers


@dataclass
class Asked:
    """How texts are encoded: what is put before them, what becomes of those that are too long, and what is shown.

    cut: the numbers of those that were too long, afterwards.
    """

    prompt: str = ""
    on_truncate: str = "warn"
    show_progress_bar: bool | None = False
    cut: list[int] = field(default_factory=list)


class Chain:
    """model, tokenizer: its first module. pooling: None for a table of vectors, whose vectors are means. entries: the
    modules as files list them."""

    def __init__(
        self,
        entries: list[Entry],
        model: EncoderModel,
        tokenizer: Tokenizer,
        pooling: Pooling | None,
        steps: list[Step],
        cuts: Cuts,
    ) -> None:
        """Raises ConfigError for modules that do not fit each other."""
        self.entries, self.model, self.tokenizer = entries, model, tokenizer
        self.pooling, self.steps = pooling, steps
        self._cuts = cuts
        hidden = model.hidden_size
        if pooling is not None and pooling.dimension not in (None, hidden):
            raise ConfigError(f"Pooling is made for vectors of {pooling.dimension} numbers, the model has {hidden}")
        if pooling is not None:
            pooling.dimension = hidden
        self.size = hidden * (len(pooling.modes) if pooling is not None else 1)
        for step in steps:
            size = step.size(self.size)
            if size is None:
                raise ConfigError(f"{step.kind} is made for other vectors than those of {self.size} numbers it gets")
            self.size = size

    def vectors(self, texts: list[str], asked: Asked, scale: bool) -> Floats:
        """The vectors [n, size] of texts, of length 1 if `scale`. Raises InputError and MemoryError."""
        skipped = self.skipped(asked.prompt)
        mode = self._engine_mode(skipped)
        last, steps = scale, self.steps
        in_engine = False
        if mode is not None and ((steps[:1] and isinstance(steps[0], Normalize)) or (scale and not steps)):
            in_engine, steps = True, steps[1:]
        if last and (isinstance(steps[-1], Normalize) if steps else in_engine):
            last = False
        if len(texts) == 1 and not asked.show_progress_bar:
            rows = self._ids(texts, [0], asked)
            vectors = self._pooled([0], rows, mode, in_engine, skipped)
        else:
            vectors = np.empty((len(texts), self._pooled_size()), np.float32)
            for indices, rows in self._forwards(texts, asked):
                vectors[indices] = self._pooled(indices, rows, mode, in_engine, skipped)
        for step in steps:
            vectors = step(vectors)
        return normalize(vectors) if last else vectors

    def tokens(self, texts: list[str], asked: Asked, with_offsets: bool) -> list[Encoded]:
        """The tokens of each text. Without `with_offsets` they have none. Raises InputError and MemoryError."""
        found: list[Any] = [None] * len(texts)
        for indices, rows in self._forwards(texts, asked):
            ids, bounds = self._packed(indices, rows)
            vectors = self.model.run_packed(ids, bounds)
            for number, index in enumerate(indices):
                own = slice(bounds[number], bounds[number + 1])
                offsets = self._offsets(texts[index], asked.prompt) if with_offsets else np.zeros((0, 2), np.int64)
                found[index] = Encoded(ids[own], vectors[own], offsets)
        return found

    def finish(self, tokens: Floats, skipped: int = 0) -> Floats:
        """The vector [size] of a text from the vectors of its tokens [n, hidden]."""
        assert self.pooling is not None
        vector: Floats = self.finish_rows(self.pooling(tokens, skipped)[None])[0]
        return vector

    def finish_rows(self, rows: Floats) -> Floats:
        """The vectors [n, size] of texts from those that the first module and pooling give."""
        for step in self.steps:
            rows = step(rows)
        return rows

    def _forwards(self, texts: list[str], asked: Asked) -> Iterator[tuple[list[int], list[list[int]]]]:
        with Bar(len(texts), asked.show_progress_bar, "Encoding") as bar:
            for indices, rows in forwards(texts, lambda numbers: self._ids(texts, numbers, asked)):
                yield indices, rows
                bar.update(len(indices))

    def _ids(self, texts: list[str], numbers: list[int], asked: Asked) -> list[list[int]]:
        limit = self.tokenizer.model_max_length
        some = [asked.prompt + texts[index] for index in numbers]
        rows, cut = self.tokenizer.truncated(some, limit, self.pooling is not None)
        if cut:
            cut = [numbers[index] for index in cut]
            self._cuts.add(cut, limit, asked.on_truncate)
            asked.cut += cut
        return rows

    def _packed(self, indices: list[int], rows: list[list[int]]) -> tuple[Integers, Integers]:
        ids, bounds = packed(rows)
        if len(ids) and ids.max() >= self.model.vocabulary:
            raise self.tokenizer.beyond(self.model.vocabulary, "text", indices, rows)
        return ids, bounds

    def _pooled(self, indices: list[int], rows: list[list[int]], mode: str | None, scale: bool, skipped: int) -> Floats:
        ids, bounds = self._packed(indices, rows)
        if mode is not None:
            return self.model.embed(ids, bounds, mode, scale)
        assert self.pooling is not None
        tokens = self.model.run_packed(ids, bounds)
        return np.stack([self.pooling(tokens[begin:end], skipped) for begin, end in pairwise(bounds)])

    def _pooled_size(self) -> int:
        return self.model.hidden_size * (len(self.pooling.modes) if self.pooling is not None else 1)

    def _engine_mode(self, skipped: int) -> str | None:
        """Which pooling the engine does; None if the vectors of tokens are needed."""
        if self.pooling is None:
            return "mean"
        mode = self.pooling.modes[0]
        return mode if len(self.pooling.modes) == 1 and mode in ENGINE_MODES and not skipped else None

    def skipped(self, prompt: str) -> int:
        """Tokens at the beginning of a text that pooling leaves out: those of a prompt, and special ones before it."""
        if not prompt or self.pooling is None or self.pooling.include_prompt:
            return 0
        ids = self.tokenizer.truncated_ids([prompt], self.tokenizer.model_max_length)[0]
        return len(ids) - (1 if ids and ids[-1] in self.tokenizer.all_special_ids else 0)

    def _offsets(self, text: str, prompt: str) -> Integers:
        """Of each token the characters of the text; of special tokens and those of a prompt none, [0, 0)."""
        (found,) = self.tokenizer.windows([prompt + text], self.tokenizer.model_max_length)[0]
        return np.maximum(np.array(found.offsets, np.int64).reshape(-1, 2) - len(prompt), 0)
