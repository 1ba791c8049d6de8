"""What every pipeline does: items in, sequences through the model, results in the order of the items."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..batching import batches, packed
from ..checks import optional_count
from ..encoder import EncoderModel
from ..errors import InputError
from ..progress import Bar
from ..scores import Floats
from ..texts import as_list
from ..tokenization import Tokenizer

# Characters from which on fewer items are tokenised at a time.
_CHARACTERS = 2**20
# Logits that count as a token in the budget of a forward, of a model that gives one for each token of its vocabulary.
_LOGITS_A_TOKEN = 2048


class Sequence(NamedTuple):
    """What the model is run on: ids, their types where the tokenizer makes them, and what the task remembers of it.

    positions: of a masked language model, the tokens whose logits are wanted.
    """

    ids: list[int]
    types: list[int] | None = None
    note: Any = None
    positions: list[int] | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings of a task, given when a pipeline is made or called. A subclass a task; unknown ones are errors.

    none_leaves: the settings that None leaves as they were, as if it had not been given.
    """

    none_leaves: ClassVar[Collection[str]] = ()


class Pipeline:
    """Inputs to results, with the interface of transformers' pipelines. Made by `filbert.pipeline`.

    A subclass a task: it turns items into sequences, and what the model gives for them into results.
    """

    task: ClassVar[str]
    auto_class: ClassVar[str]  # of filbert.auto: what loads its model
    options_class: ClassVar[type[Options]] = Options
    model_keywords: ClassVar[dict[str, Any]] = {}  # of from_pretrained, for the task
    # Items that are tokenised and run at a time, of a list and of an iterator.
    of_list: ClassVar[int] = 4096
    of_iterator: ClassVar[int] = 256
    remedy: ClassVar[str] = "pass truncation=True to cut it"  # for a sequence that is too long

    def __init__(
        self, model: EncoderModel, tokenizer: Tokenizer, batch_size: int | None = None, **options: Any
    ) -> None:
        """From parts. options: defaults of the calls. Raises TypeError for unknown ones."""
        self.model = model
        self.tokenizer = tokenizer
        self._batch_size = optional_count("batch_size", batch_size)
        self._options = self._with(self.options_class(), options)

    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        num_workers: int | None = None,
        **options: Any,
    ) -> Any:
        """The results for `inputs`: one item, a list of them, or an iterator, which gives an iterator of results.

        batch_size: sequences in one forward at most; None lets a budget of tokens alone decide.
        show_progress_bar: None shows one on a terminal if it takes over a second.
        num_workers: ignored: the engine is parallel inside.
        options: those of the task. Raises InputError, TypeError for unknown options, and MemoryError.
        """
        settings = self._with(self._options, options)
        single, items = self.items(inputs, settings)
        total = len(items) if isinstance(items, list) else None
        batch_size = self._batch_size if batch_size is None else optional_count("batch_size", batch_size)
        results = self._results(items, total, settings, batch_size, show_progress_bar)
        if total is None:
            return results
        found = list(results)
        return self.single(found[0], settings) if single else found

    @property
    def device(self) -> str:
        """What the model runs on."""
        return self.model.device

    # What a task is.

    def items(self, inputs: Any, options: Any) -> tuple[bool, list[Any] | Iterator[Any]]:
        """Whether `inputs` is one item, and the items. Raises InputError."""
        raise NotImplementedError

    def sequences(self, items: list[Any], first: int, options: Any) -> list[list[Sequence]]:
        """What the model is run on for each of the items, whose numbers begin with `first`. Raises InputError."""
        raise NotImplementedError

    def kept(self, sequence: Sequence, rows: Floats, options: Any) -> Any:
        """What is kept of what the model gave for a sequence (see `EncoderModel.run_packed`) until its item's turn."""
        return rows

    def result(self, item: Any, sequences: list[Sequence], outputs: list[Any], options: Any) -> Any:
        """The result for an item from what was kept for its sequences."""
        raise NotImplementedError

    def characters(self, item: Any, options: Any) -> int:
        """How many the sequences of an item have, about: of very many, fewer items are taken at a time."""
        if isinstance(item, str):
            return len(item)
        parts = item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple) else ()
        return sum(len(part) for part in parts if isinstance(part, str))

    def single(self, result: Any, options: Any) -> Any:
        """What is returned for an item that did not come in a list."""
        return result

    # What tasks share.

    def one_or_many(
        self, inputs: Any, single: type | tuple[type, ...] = (), expected: str = "a string or a list of strings"
    ) -> tuple[bool, list[Any] | Iterator[Any]]:
        """`items` for a task of which one item is of the types `single`. What has no length is an iterator."""
        if isinstance(inputs, single):
            return True, [inputs]
        if hasattr(inputs, "__iter__") and not hasattr(inputs, "__len__"):
            return False, iter(inputs)
        return False, as_list("inputs", inputs, expected)

    def tokenize(
        self,
        texts: Iterable[Any],
        truncation: bool | str | None = None,
        max_length: int | None = None,
        padding: bool | str = False,
        add_special_tokens: bool = True,
    ) -> list[Sequence]:
        """The sequences of texts, or pairs of them, that were checked. Raises InputError.

        Truncation is that of the tokenizer, but never to more than the model takes. Nothing is padded; as in
        transformers, a `max_length` without `truncation` cuts unless there is a `padding`.
        """
        if truncation is None:
            truncation = max_length is not None and padding is False
        if truncation in (False, "do_not_truncate"):
            limit = None
        else:
            limit = min(self.model.max_tokens, max_length or self.tokenizer.model_max_length)
        found = self.tokenizer(
            texts,
            truncation=truncation,
            max_length=limit,
            add_special_tokens=add_special_tokens,
            return_attention_mask=False,
            verbose=False,
        )
        ids = found["input_ids"]
        return list(map(Sequence, ids, found.get("token_type_ids", [None] * len(ids))))

    def _with(self, options: Options, given: dict[str, Any]) -> Any:
        known = {field.name for field in dataclasses.fields(options)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} got unexpected keyword arguments: {', '.join(unknown)}; it has "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        given = {name: value for name, value in given.items() if value is not None or name not in options.none_leaves}
        return dataclasses.replace(options, **given)

    def _results(
        self, items: Iterable[Any], total: int | None, options: Any, batch_size: int | None, show: bool | None
    ) -> Iterator[Any]:
        first = 0
        at_once = self.of_list if total is not None else batch_size or self.of_iterator
        with Bar(total, show, self.task) as bar:
            for chunk in _chunks(items, at_once, lambda item: self.characters(item, options)):
                found = self.sequences(chunk, first, options)
                counts = [len(sequences) for sequences in found]
                number_of = np.repeat(np.arange(first, first + len(chunk)), counts)
                flat = list(itertools.chain.from_iterable(found))
                outputs = iter(self._run(flat, number_of, batch_size, options, bar))
                for item, sequences in zip(chunk, found, strict=True):
                    yield self.result(item, sequences, list(itertools.islice(outputs, len(sequences))), options)
                first += len(chunk)

    def _run(
        self, sequences: list[Sequence], number_of: Any, batch_size: int | None, options: Any, bar: Bar
    ) -> list[Any]:
        """What is kept for each sequence. number_of: the item that each is of."""
        outputs: list[Any] = [None] * len(sequences)
        left = np.bincount(number_of - number_of[0]) if len(sequences) else np.zeros(0, int)
        for batch in batches(list(map(self._weight, sequences)), batch_size):
            if not (self.model.is_per_token or all(sequences[index].ids for index in batch)):
                self._explain(sequences, number_of, batch)
            try:
                found = self._forward([sequences[index] for index in batch])
            except InputError:
                self._explain(sequences, number_of, batch)
                raise
            for index, rows in zip(batch, found, strict=True):
                outputs[index] = self.kept(sequences[index], rows, options)
                item = number_of[index] - number_of[0]
                left[item] -= 1
                bar.update(int(left[item] == 0))
        return outputs

    def _weight(self, sequence: Sequence) -> int:
        """Tokens that a sequence is worth in a forward."""
        logits = 0 if sequence.positions is None else len(sequence.positions) * self.model.vocabulary
        return max(len(sequence.ids), logits // _LOGITS_A_TOKEN)

    def _forward(self, sequences: list[Sequence]) -> list[Floats]:
        ids, bounds = packed([sequence.ids for sequence in sequences])
        types = None
        if sequences[0].types is not None:
            types, _ = packed([sequence.types or [] for sequence in sequences])
        if sequences[0].positions is None:
            found = self.model.run_packed(ids, bounds, types)
            if len(found) == len(sequences) and not self.model.is_per_token:
                return list(found[:, None])
            return [found[start:end] for start, end in itertools.pairwise(bounds)]
        rows, ends = packed([sequence.positions or [] for sequence in sequences])
        rows += np.repeat(bounds[:-1], np.diff(ends))
        found = self.model.run_packed(ids, bounds, types, rows)
        return [found[start:end] for start, end in itertools.pairwise(ends)]

    def _explain(self, sequences: list[Sequence], number_of: Any, batch: list[int]) -> None:
        """Raises InputError for the item that the model refuses, if there is one."""
        for index in batch:
            ids, name = sequences[index].ids, f"input {number_of[index]}"
            if not ids and not self.model.is_per_token:
                raise InputError(f"{name}: has no tokens, which leaves nothing to classify")
            if max(ids, default=0) >= self.model.vocabulary:
                raise self.tokenizer.beyond(self.model.vocabulary, "input", [int(number_of[index])], [ids])
            if len(ids) > self.model.max_tokens:
                raise InputError(
                    f"{name}: has {len(ids)} tokens, but the model has {self.model.max_tokens} positions; {self.remedy}"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"


def _chunks(items: Iterable[Any], most: int, length: Callable[[Any], int]) -> Iterator[list[Any]]:
    """The items in lists of at most so many, and of fewer where their texts are very long."""
    chunk: list[Any] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += length(item)
        if len(chunk) == most or characters >= _CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
