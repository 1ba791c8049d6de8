"""A chain of modules: from texts to the vectors of their tokens, and to vectors of the texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..batching import packed
from ..encoder import EncoderModel
from ..errors import ConfigError, InputError
from ..progress import Bar
from ..texts import Pair
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
    """One text: ids [tokens], the vectors of its tokens [tokens, hidden], the characters of each, [begin, end), and
    its own vector [size]."""

    ids: Integers
    vectors: Floats
    offsets: Integers
    vector: Floats


@dataclass
class Row:
    """The tokens of a text, and their types if it is a pair and the model takes some."""

    ids: list[int]
    types: list[int] | None = None

    def __len__(self) -> int:
        return len(self.ids)


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
        self._has_types = bool(getattr(model.config, "type_vocab_size", 0))
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

    def vectors(self, texts: list[str | Pair], asked: Asked, scale: bool) -> Floats:
        """The vectors [n, size] of texts, of length 1 if `scale`. Raises InputError and MemoryError."""
        skipped = self.skipped(asked.prompt)
        # The engine normalises what it pools.
        early = isinstance(self.steps[0], Normalize) if self.steps else scale
        late = scale and bool(self.steps) and not isinstance(self.steps[-1], Normalize)
        if len(texts) == 1 and not asked.show_progress_bar:
            vectors = self._pooled([0], self._rows(texts, [0], asked), early, skipped)
        else:
            size = self.model.hidden_size * (len(self.pooling.modes) if self.pooling is not None else 1)
            vectors = np.empty((len(texts), size), np.float32)
            for indices, rows in self._forwards(texts, asked):
                vectors[indices] = self._pooled(indices, rows, early, skipped)
        for step in self.steps[1:] if early else self.steps:
            vectors = step(vectors, self.model.num_threads)
        return normalize(vectors) if late else vectors

    def tokens(self, texts: list[str | Pair], asked: Asked, with_offsets: bool) -> list[Encoded]:
        """The tokens of each text. Without `with_offsets` they have none. Raises InputError and MemoryError."""
        if self.pooling is None:
            raise InputError("output_value: a table of vectors has vectors of texts only: 'sentence_embedding'")
        skipped = self.skipped(asked.prompt)
        found: list[Any] = [None] * len(texts)
        for indices, rows in self._forwards(texts, asked):
            ids, bounds, types = self._packed(indices, rows)
            vectors = self.model.run_packed(ids, bounds, types)
            for number, index in enumerate(indices):
                own = slice(bounds[number], bounds[number + 1])
                offsets = self._offsets(texts[index], asked.prompt) if with_offsets else np.zeros((0, 2), np.int64)
                found[index] = Encoded(ids[own], vectors[own], offsets, self.finish(vectors[own], skipped))
        return found

    def finish(self, tokens: Floats, skipped: int = 0) -> Floats:
        """The vector [size] of a text from the vectors of its tokens [n, hidden]."""
        assert self.pooling is not None
        vector: Floats = self.finish_rows(self.pooling(tokens, skipped)[None])[0]
        return vector

    def finish_rows(self, rows: Floats) -> Floats:
        """The vectors [n, size] of texts from those that the first module and pooling give."""
        for step in self.steps:
            rows = step(rows, self.model.num_threads)
        return rows

    def _forwards(self, texts: list[str | Pair], asked: Asked) -> Iterator[tuple[list[int], list[Row]]]:
        with Bar(len(texts), asked.show_progress_bar, "Encoding") as bar:
            for indices, rows in forwards(texts, lambda numbers: self._rows(texts, numbers, asked)):
                yield indices, rows
                bar.update(len(indices))

    def _rows(self, texts: list[str | Pair], numbers: list[int], asked: Asked) -> list[Row]:
        limit = self.tokenizer.model_max_length
        some = [texts[index] for index in numbers]
        if asked.prompt:
            some = [prefixed(asked.prompt, text) for text in some]
        if all(isinstance(text, str) for text in some):
            ids, cut = self.tokenizer.truncated(cast(list[str], some), limit, self.pooling is not None)
            rows = [Row(row) for row in ids]
        else:
            rows, cut = self._rows_of_pairs(some, limit)
        if cut:
            cut = [numbers[index] for index in cut]
            self._cuts.add(cut, limit, asked.on_truncate)
            asked.cut += cut
        return rows

    def _rows_of_pairs(self, texts: list[str | Pair], limit: int) -> tuple[list[Row], list[int]]:
        if self.pooling is None:
            raise InputError("text: found a pair, and a table of vectors takes no pairs")
        ids, types = self.tokenizer.truncated_pairs(cast(list[Pair], texts), limit)
        full = [index for index, row in enumerate(ids) if len(row) >= limit]
        cut = [index for index in full if len(self.tokenizer.encodings([texts[index]])[0].ids) > limit]
        return [Row(row, None if types is None else types[index]) for index, row in enumerate(ids)], cut

    def _packed(self, indices: list[int], rows: list[Row]) -> tuple[Integers, Integers, Integers | None]:
        """Their ids, where those of each begin and end, and their types if any has some."""
        ids, bounds = packed([row.ids for row in rows])
        if len(ids) and (max(rows[0].ids) if len(rows) == 1 else ids.max()) >= self.model.vocabulary:
            raise self.tokenizer.beyond(self.model.vocabulary, "text", indices, [row.ids for row in rows])
        if not self._has_types or all(row.types is None for row in rows):
            return ids, bounds, None
        return ids, bounds, packed([row.types or [0] * len(row) for row in rows])[0]

    def _pooled(self, indices: list[int], rows: list[Row], scale: bool, skipped: int) -> Floats:
        ids, bounds, types = self._packed(indices, rows)
        modes = ("mean",) if self.pooling is None else self.pooling.modes
        if len(modes) == 1 and modes[0] in ENGINE_MODES and not skipped and types is None:
            return self.model.embed(ids, bounds, modes[0], scale)
        assert self.pooling is not None
        tokens = self.model.run_packed(ids, bounds, types)
        vectors = np.stack([self.pooling(tokens[begin:end], skipped) for begin, end in pairwise(bounds)])
        return normalize(vectors) if scale else vectors

    def skipped(self, prompt: str) -> int:
        """Tokens at the beginning of a text that pooling leaves out: those of a prompt, and special ones before it."""
        if not prompt or self.pooling is None or self.pooling.include_prompt:
            return 0
        return self.prompt_length(prompt)

    def prompt_length(self, prompt: str) -> int:
        """Tokens of a text that begins with a prompt up to the end of that, special ones before it included."""
        ids = self.tokenizer.truncated_ids([prompt], self.tokenizer.model_max_length)[0]
        return len(ids) - (1 if ids and ids[-1] in self.tokenizer.all_special_ids else 0)

    def _offsets(self, text: str | Pair, prompt: str) -> Integers:
        """Of each token the characters of the text; of special tokens and those of a prompt none, [0, 0)."""
        (found,) = self.tokenizer.windows([prefixed(prompt, text)], self.tokenizer.model_max_length)[0]
        offsets = np.array(found.offsets, np.int64).reshape(-1, 2)
        of_second = np.array([number == 1 for number in found.sequence_ids], bool).reshape(-1, 1)
        return np.where(of_second, offsets, np.maximum(offsets - len(prompt), 0))


def prefixed(prompt: str, text: str | Pair) -> str | Pair:
    return prompt + text if isinstance(text, str) else (prompt + text[0], text[1])
